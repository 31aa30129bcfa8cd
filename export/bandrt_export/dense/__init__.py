"""Dense models: the trained models rewritten for padded batches, operation by operation what ONNX and TensorRT have."""
