"""Fit: training runs, from the first step to a checkpoint, and ensembles of them."""
