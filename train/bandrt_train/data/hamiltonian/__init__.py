"""What a learned Hamiltonian learns: bands where they were computed, counted by electrons; gaps; which formulas are held out."""
