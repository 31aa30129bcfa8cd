"""Model: the variants of Bandformer in torch and PyTorch Geometric."""
