"""ONNX engines, run by ONNX Runtime."""
