"""Every so many k-points are computed: what is interpolated between them is exact for cubics, and close for bands."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from bandrt.bands.band_structure import in_order
from bandrt.computed.documents import DocumentText
from bandrt.computed.lines import document_crystal
from bandrt.features import featurize_cell
from bandrt.manifest import BandRule
from bandrt.recipe import Recipe
from bandrt.symmetry.standard_cell import standardize
from bandrt_train.data.targets import make_targets
from bandrt_train.model.bandformer import build_model
from bandrt_train.model.config import ConfigError, ModelConfig
from bandrt_train.model.stride import Stride, computed_points, interpolation


@pytest.mark.parametrize(("n_kpoints", "stride"), [(256, 1), (256, 2), (256, 3), (255, 2), (9, 4), (4, 3), (2, 1)])
def test_computed_points_keep_their_values_and_both_ends_are_among_them(n_kpoints: int, stride: int) -> None:
    points, weights = computed_points(n_kpoints, stride), interpolation(n_kpoints, stride)
    assert (points[0], points[-1]) == (0, n_kpoints - 1)
    assert np.diff(points).max() <= stride
    np.testing.assert_allclose(weights[:, points], np.eye(len(points)), atol=1e-12)
    np.testing.assert_allclose(weights.sum(axis=0), 1.0, atol=1e-12)


def test_cubics_are_interpolated_exactly() -> None:
    place = np.linspace(-1.0, 1.0, 256)
    cubic = 2.0 - place + 0.5 * place**2 + 3.0 * place**3
    np.testing.assert_allclose(cubic[computed_points(256, 3)] @ interpolation(256, 3), cubic, atol=1e-12)
    quartic = place**4
    assert np.abs(quartic[computed_points(256, 24)] @ interpolation(256, 24) - quartic).max() > 1e-5


def test_labelled_bands_lose_millielectronvolts_by_every_second_point(label_texts: list[DocumentText]) -> None:
    errors = []
    for text in [t for t in label_texts if json.loads(t.text)["n_occupied"] >= 3][::12]:
        document = text.read().document
        cell = standardize(document_crystal(document), Recipe().symmetry)
        targets = make_targets(document, cell, featurize_cell(cell, Recipe()).kpath, BandRule())
        if targets.mask.all():
            between = in_order(targets.energies[:, computed_points(256, 2)] @ interpolation(256, 2))
            errors.append(np.abs(between - targets.energies).mean())
    assert len(errors) > 5
    assert 0.0 < np.mean(errors) < 0.01


def test_down_and_up_are_inverse_where_points_are_computed() -> None:
    stride = Stride(ModelConfig(variant="bloch", n_kpoints=16, kpoint_stride=3))
    path = torch.arange(48.0).reshape(1, 16, 3)
    torch.testing.assert_close(stride.down(path), path[:, [0, 3, 6, 9, 12, 15]])
    values = torch.randn(2, 6, 6)
    torch.testing.assert_close(stride.up(values)[..., [0, 3, 6, 9, 12, 15]], values)


def test_the_stride_adds_no_weights_and_only_bloch_has_one() -> None:
    tiny = {"d_model": 24, "n_heads": 2, "encoder_layers": 1, "decoder_layers": 1, "d_feedforward": 24, "n_kpoints": 32}
    plain, strided = (build_model(ModelConfig(variant="bloch", kpoint_stride=stride, **tiny)) for stride in (1, 2))  # type: ignore[arg-type]
    strided.load_state_dict(plain.state_dict())
    with pytest.raises(ConfigError, match="kpoint_stride is 2, allowed: 1 in the paper variant"):
        ModelConfig(kpoint_stride=2)
    with pytest.raises(ConfigError, match="less than n_kpoints = 32"):
        ModelConfig(variant="bloch", kpoint_stride=32, **tiny)  # type: ignore[arg-type]
