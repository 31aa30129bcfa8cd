"""Graph: the neighbours of every atom, chosen without regard to atom order, cell or orientation."""
