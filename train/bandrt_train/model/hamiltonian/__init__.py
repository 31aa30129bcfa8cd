"""The variant ``hamiltonian``: what is learned is how strongly atoms hop; the bands are the eigenvalues of what they then make."""
