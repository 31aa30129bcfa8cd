"""Plans of TensorRT and TensorRT-RTX: the sizes that they are built for, the builder, and the plan with what lies beside it."""
