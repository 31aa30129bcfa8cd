"""What the Hamiltonian of a crystal knows beyond six bands on one path: bands anywhere, density of states, effective masses.

`crystal_hamiltonian` answers at any k-point; `kpoints` are the user's own points and paths, `mesh` and `tetrahedra` stand for the
whole zone; `bands`, `dos` and `masses` are what is made of them; `documents` writes what pymatgen reads, `plot` and `zone` draw.
"""
