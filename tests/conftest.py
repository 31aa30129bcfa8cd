"""What several test folders share: the optional data folder beside the project, and real crystals."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the project; users do not have it."""
    folder = ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("the reference data folder `shared` is not beside this project")
    return folder


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of real example crystals."""
    return ROOT / "examples" / "crystals"
