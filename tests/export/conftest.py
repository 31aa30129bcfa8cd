"""One small engine that the export tests share: tracing takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from onnx import ModelProto

    from bandrt.manifest import Manifest
    from bandrt_train.model.bandformer import Bandformer


@pytest.fixture(autouse=True, scope="session")
def tracing_is_not_measured() -> Iterator[None]:
    """Put the measuring of coverage off while torch traces: it doubles the seconds, and the lines are run by other tests, too."""
    import torch.onnx
    from coverage import Coverage

    def export(*arguments: Any, **options: Any) -> Any:
        measured = Coverage.current()
        if measured is None:
            return traces(*arguments, **options)
        measured.stop()
        try:
            return traces(*arguments, **options)
        finally:
            measured.start()

    traces = torch.onnx.export
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", export)
        yield


@dataclass(frozen=True, eq=False)
class Exported:
    """A checkpoint, its model and the engine made from it."""

    model: Bandformer
    checkpoint: Path
    engine: Path
    manifest: Manifest
    traced: ModelProto
    """The graph as it was traced, with the exporter's notes; copy it before changing it."""


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A small exported model with every option that adds operations."""
    # here and not above: torch is imported when a test needs it, under the warning filters of the tests
    from bandrt.manifest import BandRule, TrainingDomain
    from bandrt_export.dense.bandformer import DENSE
    from bandrt_export.onnx import trace
    from bandrt_train.checkpoint import save_checkpoint
    from tests.support.small_models import RECIPE, SMALL, perturbed

    folder = tmp_path_factory.mktemp("exported")
    model = perturbed(replace(SMALL, encoder_layers=1, decoder_layers=1, node_features="elemental", edge_values=True))
    checkpoint, engine = folder / "model.ckpt", folder / "engine" / "model.onnx"
    training = TrainingDomain(n_crystals=12, elements=("O", "Si"), max_atoms=9, functional="PBE")
    save_checkpoint(checkpoint, model=model, config=model.config, recipe=RECIPE, bands=BandRule(), training=training)
    traced = trace(DENSE["paper"].from_reference(model), n_slots=RECIPE.graph.n_neighbors)
    return Exported(model, checkpoint, engine, export_traced(traced, checkpoint, engine), traced)


@pytest.fixture(scope="session")
def half_engine(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model exported in fp16."""
    path = tmp_path_factory.mktemp("half") / "half.onnx"
    export_traced(exported.traced, exported.checkpoint, path, precision="fp16")
    return path


def export_traced(traced: ModelProto, checkpoint: Path, engine: Path, **options: Any) -> Manifest:
    """Export a checkpoint that was traced before."""
    import bandrt_export.onnx

    copy = type(traced)()
    copy.CopyFrom(traced)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bandrt_export.onnx, "trace", lambda dense, *, n_slots: copy)
        return bandrt_export.onnx.export_onnx(checkpoint, engine, **options)
