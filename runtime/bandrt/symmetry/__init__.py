"""Symmetry: the space group of a crystal and its standard primitive cell."""
