"""Bands of a tight-binding Hamiltonian as plain ONNX: H(k), its eigenvalues, the Fermi level and the bands around it."""
