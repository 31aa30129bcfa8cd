"""Errors keep their code and stage when they cross a process border."""

from __future__ import annotations

import pickle

import pytest

from bandrt.errors import BandrtError, EngineError, InputError, MissingPackageError


@pytest.mark.parametrize(
    "error",
    [
        InputError("partial-occupancy", "a.cif: site Fe1", stage="read"),
        InputError("symmetry-failed", "a.cif", stage="symmetry"),
        EngineError("engine-not-found", "m.onnx"),
        MissingPackageError("onnxruntime", "cpu", "running an ONNX engine"),
    ],
    ids=lambda e: e.code,
)
def test_an_error_survives_pickling(error: BandrtError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (copy.code, copy.message, str(copy)) == (error.code, error.message, str(error))
    assert getattr(copy, "stage", None) == getattr(error, "stage", None)


def test_a_missing_package_names_the_command_that_mends_it() -> None:
    assert "pip install 'bandrt[cpu]'" in str(MissingPackageError("onnxruntime", "cpu", "running an ONNX engine"))
