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
    from bandrt.errors import (
        ArgumentError,
        BandrtError,
        EngineError,
        InputError,
        ManifestError,
        MissingPackageError,
        OutputError,
        UsageError,
    )
    from bandrt.features import Features, featurize, featurize_many
    from bandrt.kpaths import kpath
    from bandrt.kpaths.path import KPath
    from bandrt.loading import load
    from bandrt.manifest import BandRule, Manifest
    from bandrt.predict import Engine
    from bandrt.recipe import GraphRecipe, KpathRecipe, MeshRecipe, Recipe, SymmetryRecipe
    from bandrt.report.write import WrittenReport, write_report
    from bandrt.results.prediction import Failure, Prediction
    from bandrt.results.store import read, read_one
    from bandrt.run.merge import MergeReport, merge
    from bandrt.screening.criteria import Criteria
    from bandrt.screening.shortlist import Shortlist, screen
    from bandrt.sources import find
    from bandrt.sources.source import Source

_HOME = {
    "ArgumentError": "bandrt.errors",
    "BandEdge": "bandrt.bands.on_path",
    "BandRule": "bandrt.manifest",
    "BandStructure": "bandrt.bands.band_structure",
    "BandrtError": "bandrt.errors",
    "Criteria": "bandrt.screening.criteria",
    "Crystal": "bandrt.crystal",
    "Engine": "bandrt.predict",
    "EngineError": "bandrt.errors",
    "Failure": "bandrt.results.prediction",
    "Features": "bandrt.features",
    "GraphRecipe": "bandrt.recipe",
    "InputError": "bandrt.errors",
    "KPath": "bandrt.kpaths.path",
    "KpathRecipe": "bandrt.recipe",
    "Manifest": "bandrt.manifest",
    "ManifestError": "bandrt.errors",
    "MergeReport": "bandrt.run.merge",
    "MeshRecipe": "bandrt.recipe",
    "MissingPackageError": "bandrt.errors",
    "OutputError": "bandrt.errors",
    "Prediction": "bandrt.results.prediction",
    "Recipe": "bandrt.recipe",
    "Shortlist": "bandrt.screening.shortlist",
    "Source": "bandrt.sources.source",
    "SymmetryRecipe": "bandrt.recipe",
    "UsageError": "bandrt.errors",
    "WrittenReport": "bandrt.report.write",
    "featurize": "bandrt.features",
    "featurize_many": "bandrt.features",
    "find": "bandrt.sources",
    "kpath": "bandrt.kpaths",
    "load": "bandrt.loading",
    "merge": "bandrt.run.merge",
    "read": "bandrt.results.store",
    "read_one": "bandrt.results.store",
    "screen": "bandrt.screening.shortlist",
    "write_report": "bandrt.report.write",
}

__all__ = [
    "ArgumentError",
    "BandEdge",
    "BandRule",
    "BandStructure",
    "BandrtError",
    "Criteria",
    "Crystal",
    "Engine",
    "EngineError",
    "Failure",
    "Features",
    "GraphRecipe",
    "InputError",
    "KPath",
    "KpathRecipe",
    "Manifest",
    "ManifestError",
    "MergeReport",
    "MeshRecipe",
    "MissingPackageError",
    "OutputError",
    "Prediction",
    "Recipe",
    "Shortlist",
    "Source",
    "SymmetryRecipe",
    "UsageError",
    "WrittenReport",
    "__version__",
    "featurize",
    "featurize_many",
    "find",
    "kpath",
    "load",
    "merge",
    "read",
    "read_one",
    "screen",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'bandrt' has no attribute {name!r}", name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    return list(__all__)
