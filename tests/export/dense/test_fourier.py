"""The dense fourier model is the reference, and its engine needs no Fourier transform of its backend."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bandrt.batch import pad
from bandrt.contract import REQUIRED_INPUTS
from bandrt.engine.onnx.session import OnnxSession
from bandrt.manifest import BandRule, TrainingDomain
from bandrt_export.dense.bandformer import DENSE, DenseFourier
from bandrt_export.onnx import export_onnx
from bandrt_train.checkpoint import save_checkpoint
from bandrt_train.model.graphs import to_batch
from tests.support.small_models import PORTABLE_OPS, RECIPE, SMALL, perturbed, real_features

FOURIER = replace(SMALL, variant="fourier", n_modes=10)
TOLERANCE_EV = 2e-5
"""fp32 rounding on energies of a few eV, summed in another order."""
RELATIVE_TOLERANCE = 1e-6
"""The same for energies of ten eV and more, which perturbed weights give."""


@pytest.mark.parametrize("shape", [{}, {"n_atoms": 64, "batch_size": 30}])
def test_dense_and_reference_agree_on_real_crystals_whatever_the_padding(shape: dict[str, int]) -> None:
    model = perturbed(FOURIER)
    dense = DENSE["fourier"].from_reference(model)
    assert isinstance(dense, DenseFourier)
    features = real_features()
    batch = pad(features, **shape)
    with torch.no_grad():
        expected = model(to_batch(features))
        found = dense(*(torch.from_numpy(batch[name]) for name in REQUIRED_INPUTS))
    n = len(features)
    torch.testing.assert_close(found.band_energies[:n], expected.energies, atol=TOLERANCE_EV, rtol=RELATIVE_TOLERANCE)
    torch.testing.assert_close(found.band_center[:n], expected.center, atol=TOLERANCE_EV, rtol=RELATIVE_TOLERANCE)
    torch.testing.assert_close(found.band_dispersion[:n], expected.dispersion, atol=TOLERANCE_EV, rtol=RELATIVE_TOLERANCE)
    assert all(torch.isfinite(output).all() for output in found)


@pytest.mark.slow
def test_the_engine_passes_parity_and_transforms_by_products(tmp_path: Path) -> None:
    parts = {"config": FOURIER, "recipe": RECIPE, "bands": BandRule(), "training": TrainingDomain()}
    save_checkpoint(tmp_path / "model.ckpt", model=perturbed(FOURIER), **parts)
    manifest = export_onnx(tmp_path / "model.ckpt", tmp_path / "model.onnx")
    assert manifest.variant == "fourier"
    assert manifest.parity is not None
    proto = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert {node.op_type for node in proto.graph.node} <= PORTABLE_OPS
    with OnnxSession(tmp_path / "model.onnx") as session:
        energies = session.run(pad(real_features()[:3]))["band_energies"]
    np.testing.assert_allclose(energies[..., 0], energies[..., -1], atol=TOLERANCE_EV)
