"""What stands in messages of what callers hand over."""

from __future__ import annotations

import numpy as np
import pytest

import bandrt
from bandrt.arguments import check_kind
from bandrt.errors import ArgumentError, InputError
from bandrt.quoting import with_article


@pytest.mark.parametrize(
    "spoken",
    [
        "a str",
        "a Path",
        "a NoneType",
        "a dict",
        "a UsageError",
        "a Union",
        "a Manifest",
        "a SymmetryRecipe",
        "an int",
        "an ndarray",
        "an InputError",
        "an Engine",
        "an Atoms",
        "an HDF5 file",
        "an XSF",
        "an ONNX file",
    ],
)
def test_articles_go_by_the_sound(spoken: str) -> None:
    assert with_article(spoken.partition(" ")[2]) == spoken


def test_messages_say_an_ndarray() -> None:
    with pytest.raises(ArgumentError, match="allowed: an ndarray or an InputError"):
        check_kind("given", 3, np.ndarray, InputError)
    with pytest.raises(bandrt.ManifestError, match="the manifest is an int, not an object"):
        bandrt.Manifest.from_json("3")
