"""Scores of learned Hamiltonians: on crystals of formulas that they have not learned, by class, beside an engine of six bands."""
