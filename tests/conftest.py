"""What several test folders share: the optional data folder beside the project, and real crystals."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")  # the same examples every time: what lands does not depend on luck


def pytest_configure(config: pytest.Config) -> None:
    """Let third-party packages be imported: warnings are errors here, also theirs about themselves."""
    # torch_geometric 2.8 still scripts its pooling classes, which torch 2.13 calls deprecated
    config.addinivalue_line("filterwarnings", r"ignore:`torch\.jit\.\w+` is deprecated:DeprecationWarning")


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
