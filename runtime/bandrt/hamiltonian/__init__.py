"""From a Hamiltonian between orbitals to bands, in NumPy: `hoppings` to H(k) (`bloch`), its eigenvalues, electrons into bands."""
