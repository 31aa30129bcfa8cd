"""The engine that ships with a Hamiltonian in it, and one crystal of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import bandrt
from bandrt.spectra.crystal_hamiltonian import CrystalHamiltonian


@pytest.fixture(scope="session")
def accurate() -> Iterator[bandrt.Engine]:
    pytest.importorskip("onnxruntime")
    with bandrt.load("accurate", threads=1) as engine:
        yield engine


@pytest.fixture(scope="session")
def magnesia(accurate: bandrt.Engine, examples: Path) -> CrystalHamiltonian:
    """MgO."""
    return accurate.hamiltonian(examples / "MgO_mp-1265.vasp")


@pytest.fixture(scope="session")
def alloy(accurate: bandrt.Engine, examples: Path) -> CrystalHamiltonian:
    """CuAu, a metal."""
    return accurate.hamiltonian(examples / "CuAu_mp-522.vasp")
