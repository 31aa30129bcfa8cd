// Bands of a saved batch with ONNX Runtime alone, without Python: predict MODEL.onnx BATCH
//
// BATCH is a folder of NumPy files, one for each input of the model, as `Engine.save_batch` of bandrt writes it. Each line
// printed is a band: its crystal's place in the batch, its number, and its energy in eV at each point of the path.
#include <onnxruntime_cxx_api.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

struct Array {  // of an .npy file: ten bytes, the last two of which are the length of the header; the header; the values
  std::vector<char> bytes;
  std::vector<int64_t> shape;
  size_t start;
  ONNXTensorElementDataType type;

  explicit Array(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
    if (bytes.size() < 10 || bytes[0] != '\x93' || bytes[6] != 1) throw std::runtime_error(path + ": no NumPy file of version 1.0");
    start = 10 + static_cast<unsigned char>(bytes[8]) + 256 * static_cast<unsigned char>(bytes[9]);
    const std::string header(bytes.begin() + 10, bytes.begin() + start);
    std::smatch found;
    if (!std::regex_search(header, found, std::regex("'(<f4|<i4|.b1)', 'fortran_order': False, 'shape': \\((.*?)\\)")))
      throw std::runtime_error(path + ": laid out in another way: " + header);
    type = found[1] == "<f4"   ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
           : found[1] == "<i4" ? ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32
                               : ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL;
    const std::regex number("\\d+");
    for (std::sregex_iterator size(found[2].first, found[2].second, number), end; size != end; ++size)
      shape.push_back(std::stoll(size->str()));
  }
};

int main(int n_words, char** words) try {
  if (n_words != 3) throw std::runtime_error("usage: predict MODEL.onnx BATCH");
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);  // some builds send events to their maker
  Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "bandrt");
  Ort::Session session(env, words[1], Ort::SessionOptions());
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<Ort::AllocatedStringPtr> names;
  std::vector<const char*> inputs;
  std::vector<Array> arrays;
  for (size_t i = 0; i < session.GetInputCount(); ++i) {
    inputs.push_back(names.emplace_back(session.GetInputNameAllocated(i, allocator)).get());
    arrays.emplace_back(std::string(words[2]) + "/" + inputs.back() + ".npy");
  }
  std::vector<Ort::Value> values;
  for (auto& [bytes, shape, start, type] : arrays)
    values.push_back(
        Ort::Value::CreateTensor(memory, bytes.data() + start, bytes.size() - start, shape.data(), shape.size(), type));
  const char* output = "band_energies";  // (crystals, bands, k-points)
  const auto found = session.Run(Ort::RunOptions(), inputs.data(), values.data(), values.size(), &output, 1);
  const auto shape = found[0].GetTensorTypeAndShapeInfo().GetShape();
  const float* energy = found[0].GetTensorData<float>();
  std::cout.precision(9);
  for (int64_t band = 0; band < shape[0] * shape[1]; ++band, std::cout << '\n') {
    std::cout << band / shape[1] << ',' << band % shape[1];
    for (int64_t k = 0; k < shape[2]; ++k) std::cout << ',' << *energy++;
  }
} catch (const std::exception& error) {
  std::cerr << "predict: " << error.what() << '\n';
  return 1;
}
