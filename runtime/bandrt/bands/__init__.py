"""Bands: a band structure, its gap and edges, as a figure and as pymatgen's."""
