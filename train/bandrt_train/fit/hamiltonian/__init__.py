"""Fit of learned Hamiltonians: from labels where they were computed to a checkpoint, in a run folder like any other.

`bandrt_train.fit.run` trains models of six bands on padded features of one path. A Hamiltonian learns other things in other steps:
a few of the computed k-points of a crystal at a time, as many bands as it has, its zero found among them, tight-binding bands
before and beside those of DFT. So it has a loop of its own, without Lightning, for one device.
"""
