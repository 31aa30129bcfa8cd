"""From crystals to electronic band structures, without torch.

Everything public is reached from here, and imported only when asked for.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bandrt.bands.band_structure import BandStructure
    from bandrt.bands.on_path import BandEdge
    from bandrt.crystal import Crystal
    from bandrt.errors import BandrtError, InputError
    from bandrt.features import Features, featurize, featurize_many
    from bandrt.kpaths import kpath
    from bandrt.manifest import Manifest
    from bandrt.predict import Engine, load
    from bandrt.recipe import Recipe
    from bandrt.results.prediction import Failure, Prediction
    from bandrt.results.store import read, read_one

_HOME = {
    "BandEdge": "bandrt.bands.on_path",
    "BandStructure": "bandrt.bands.band_structure",
    "BandrtError": "bandrt.errors",
    "Crystal": "bandrt.crystal",
    "Engine": "bandrt.predict",
    "Failure": "bandrt.results.prediction",
    "Features": "bandrt.features",
    "InputError": "bandrt.errors",
    "Manifest": "bandrt.manifest",
    "Prediction": "bandrt.results.prediction",
    "Recipe": "bandrt.recipe",
    "featurize": "bandrt.features",
    "featurize_many": "bandrt.features",
    "kpath": "bandrt.kpaths",
    "load": "bandrt.predict",
    "read": "bandrt.results.store",
    "read_one": "bandrt.results.store",
}

__all__ = [
    "BandEdge",
    "BandStructure",
    "BandrtError",
    "Crystal",
    "Engine",
    "Failure",
    "Features",
    "InputError",
    "Manifest",
    "Prediction",
    "Recipe",
    "__version__",
    "featurize",
    "featurize_many",
    "kpath",
    "load",
    "read",
    "read_one",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'bandrt' has no attribute {name!r}", name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    return list(__all__)
