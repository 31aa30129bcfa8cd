"""What a run takes where nothing is asked for: time and memory for a crystal, and worker processes."""

from __future__ import annotations

from bandrt.cores import available_cores

TIMEOUT_SECONDS = 20.0
"""For one crystal; the slowest of a hundred thousand takes a tenth of it."""
MAX_ATOMS_ON_CPU = 600
"""Of the primitive cell of a crystal that is predicted on the CPU unless more is asked for: it takes about 1.1 GB."""
CORES_PER_WORKER_ON_CPU = 8
"""A model on the CPU takes so much longer than featurising that one worker feeds this many cores."""


def default_max_atoms(device: str) -> int | None:
    """Atoms of the largest primitive cell that is predicted unless more is asked for; a GPU says itself what it holds."""
    return MAX_ATOMS_ON_CPU if device == "cpu" else None


def default_workers(device: str) -> int:
    """Worker processes that keep a device fed."""
    cores = available_cores()
    return max(1, cores // CORES_PER_WORKER_ON_CPU) if device == "cpu" else cores
