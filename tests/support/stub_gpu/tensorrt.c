/*
 * TensorRT without TensorRT: what the real Python bindings ask of its three libraries, each of which gives no object. They do that
 * where CUDA does not start. Build: gcc -shared -fPIC -Wl,-soname,NAME -o NAME tensorrt.c
 * for NAME in libnvinfer.so.11, libnvinfer_plugin.so.11, libnvonnxparser.so.11
 */
void *createInferBuilder_INTERNAL(void) { return 0; }
void *createInferRefitter_INTERNAL(void) { return 0; }
void *createInferRuntime_INTERNAL(void) { return 0; }
void *createNvOnnxParser_INTERNAL(void) { return 0; }
void *createNvOnnxParserRefitter_INTERNAL(void) { return 0; }
void *getBuilderPluginRegistry(void) { return 0; }
void *getPluginRegistry(void) { return 0; }
int getNvOnnxParserVersion(void) { return 110400; }
int initLibNvInferPlugins(void) { return 1; }
