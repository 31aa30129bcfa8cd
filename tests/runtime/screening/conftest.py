"""Results of real crystals, predicted by the tiny engine, with a calibration of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bandrt.engine.calibration_file import calibration_path, write_calibration
from bandrt.run.infer import InferOptions, infer
from tests.support.calibrations import TELLING, plain_calibration


@pytest.fixture(scope="session")
def calibrated_engine(make_engine: Callable[..., Path]) -> Path:
    """The tiny engine with a calibration beside it."""
    engine = make_engine()
    write_calibration(plain_calibration(direct=TELLING), calibration_path(engine))
    return engine


@pytest.fixture(scope="session")
def results(calibrated_engine: Path, examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 42 example crystals as predicted, beside a file that is none."""
    folder = tmp_path_factory.mktemp("screened")
    shutil.copytree(examples, folder / "in")
    (folder / "in" / "damaged.cif").write_text("data_cut_short\n_cell_length_a")
    infer(folder / "in", folder / "out", InferOptions(engine=calibrated_engine, threads=1, workers=0))
    return folder / "out"
