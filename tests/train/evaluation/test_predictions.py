"""A checkpoint and the engine exported from it are judged alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bandrt.computed.documents import DocumentText
from bandrt.manifest import BandRule, Manifest, TrainingDomain
from bandrt.recipe import KpathRecipe, Recipe
from bandrt_export.dense.bandformer import DenseBandformer
from bandrt_train.checkpoint import save_checkpoint
from bandrt_train.data.builder import build_dataset
from bandrt_train.data.dataset import Dataset, DatasetRecipe
from bandrt_train.evaluation import predictions
from bandrt_train.evaluation.errors import EvaluationError
from bandrt_train.evaluation.predictions import predict_entries
from bandrt_train.model.bandformer import Bandformer, build_model
from bandrt_train.model.config import ModelConfig

PARITY_EV = 1e-4
"""eV: what an export may differ by."""
RECIPE = Recipe(kpath=KpathRecipe(n_kpoints=32))
CONFIG = ModelConfig(d_model=12, n_heads=2, encoder_layers=1, decoder_layers=1, d_feedforward=24, n_kpoints=32)
RULE, DOMAIN = BandRule(metal_tolerance_ev=0.17), TrainingDomain(n_crystals=3, data_sha256="abc")


class DenseSession:
    """The padded model that an export traces, run in torch: what an engine computes, without the seconds that tracing takes."""

    def __init__(self, model: Bandformer) -> None:
        self.model = DenseBandformer.from_reference(model).eval()
        inputs = ("atomic_numbers", "neighbor_index", "neighbor_distance", "neighbor_mask", "atom_mask", "kpoints")
        self.manifest = Manifest("paper", {}, "", RECIPE, RULE, inputs, ("band_energies", "uncertainty_ev"), training=DOMAIN)

    def run(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        with torch.no_grad():
            bands = self.model(*(torch.as_tensor(inputs[name]) for name in self.manifest.inputs))
        energies = bands.band_energies.numpy()
        return {"band_energies": energies, "uncertainty_ev": energies.std(axis=(1, 2))}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def data(label_texts: list[DocumentText], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data")
    chosen = [t.text.strip() for t in label_texts if json.loads(t.text)["n_occupied"] >= 3][::14]
    (folder / "labels.jsonl").write_text("\n".join(chosen), encoding="utf-8")
    return build_dataset([folder / "labels.jsonl"], folder / "dataset", DatasetRecipe(RECIPE))


def test_an_engine_predicts_the_entries_of_a_data_set_as_its_checkpoint_does(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = build_model(CONFIG)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    path = tmp_path / "model.ckpt"
    save_checkpoint(path, model=model, config=CONFIG, recipe=RECIPE, bands=RULE, training=DOMAIN)
    monkeypatch.setattr(predictions, "open_session", lambda path: DenseSession(model.eval()))

    entries = list(data)
    assert len(entries) > predictions.BATCH_SIZE
    (tmp_path / "model.onnx").write_bytes(b"an engine")
    monkeypatch.setattr(predictions, "ENTRIES_IN_MEMORY", len(entries) - 2)
    of_checkpoint, of_engine = (
        predict_entries(path, data, iter(entries)),
        predict_entries(tmp_path / "model.onnx", data, iter(entries)),
    )
    for found in (of_checkpoint.model, of_engine.model):
        assert (found.rule, found.training, found.variant) == (RULE, DOMAIN, "paper")
    assert of_checkpoint.model.sha256 == of_checkpoint.model.checkpoint_sha256
    assert of_engine.energies.shape == (len(entries), 6, 32)
    np.testing.assert_allclose(of_engine.energies, of_checkpoint.energies, atol=PARITY_EV)
    # crystals are told apart, so none stands in another's row
    assert np.ptp(of_checkpoint.energies, axis=0).min() > 100 * PARITY_EV
    assert of_checkpoint.uncertainty_ev is None
    assert of_engine.uncertainty_ev is not None
    np.testing.assert_allclose(of_engine.uncertainty_ev, of_engine.energies.std(axis=(1, 2)), rtol=1e-5)


def test_a_model_whose_energies_are_no_numbers_is_not_scored(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model(CONFIG)
    whole = DenseSession(model.eval())

    class Broken(DenseSession):
        def run(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            found = whole.run(inputs)
            found["band_energies"][0, 0, 0] = np.nan
            return found

    monkeypatch.setattr(predictions, "open_session", lambda path: Broken(model))
    (tmp_path / "model.onnx").write_bytes(b"an engine")
    with pytest.raises(EvaluationError, match="for 1 of 5 crystals") as raised:
        predict_entries(tmp_path / "model.onnx", data, list(data)[:5])
    assert raised.value.code == "non-finite-energies"
