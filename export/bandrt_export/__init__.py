"""Checkpoint to dense model to ONNX (and TensorRT plan), with the parity gate."""
