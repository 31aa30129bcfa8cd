"""TensorRT plans, run without torch on the CUDA driver."""
