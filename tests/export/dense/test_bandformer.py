"""The dense model is the reference model: same parameters, same numbers, whatever the padding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bandrt.batch import pad
from bandrt.contract import REQUIRED_INPUTS
from bandrt.features import Features
from bandrt_export.dense.bandformer import DENSE, DenseBandformer, DenseBands
from bandrt_export.dense.decoder import FoldedCrossAttention
from bandrt_export.dense.masking import masked_bias, masked_softmax
from bandrt_train.model.bandformer import REFERENCES, Bandformer
from bandrt_train.model.config import OwnVariant
from bandrt_train.model.decoder import CrossAttention, Memory
from bandrt_train.model.graphs import to_batch
from tests.support.random_graphs import random_features
from tests.support.small_models import SMALL, isolated, perturbed, real_features

TOLERANCE_EV = 1e-5
"""fp32 rounding on energies of a few eV, summed in another order; relative for larger ones."""


def dense_bands(dense: DenseBandformer, features: list[Features], **shape: int) -> DenseBands:
    batch = pad(features, **shape)
    with torch.no_grad():
        return dense(*(torch.from_numpy(batch[name]) for name in REQUIRED_INPUTS))


def assert_equal(model: Bandformer, dense: DenseBandformer, features: list[Features], **shape: int) -> None:
    with torch.no_grad():
        expected = model(to_batch(features))
    found = dense_bands(dense, features, **shape)
    n = len(features)
    torch.testing.assert_close(found.band_energies[:n], expected.energies, atol=TOLERANCE_EV, rtol=TOLERANCE_EV)
    torch.testing.assert_close(found.band_center[:n], expected.center, atol=TOLERANCE_EV, rtol=TOLERANCE_EV)
    torch.testing.assert_close(found.band_dispersion[:n], expected.dispersion, atol=TOLERANCE_EV, rtol=TOLERANCE_EV)


@pytest.mark.parametrize("node_features", ["one_hot", "elemental", "elemental_one_hot"])
@pytest.mark.parametrize("edge_values", [False, True])
def test_dense_and_reference_agree_on_real_and_random_crystals(node_features: str, edge_values: bool) -> None:
    model = perturbed(replace(SMALL, node_features=node_features, edge_values=edge_values))
    dense = DENSE["paper"].from_reference(model)
    assert_equal(model, dense, real_features())
    rng = np.random.default_rng(0)
    for sizes in ((1,), (1, 2, 30), (17, 5, 5, 1)):
        assert_equal(model, dense, [random_features(rng, n) for n in sizes])


@pytest.mark.parametrize("variant", ["paper", "fourier"])
def test_crystals_are_counted_alike(variant: OwnVariant) -> None:
    model = perturbed(replace(SMALL, variant=variant, n_modes=12, crystal_counts=True))
    dense = DENSE[variant].from_reference(model)
    assert_equal(model, dense, real_features(), n_atoms=64, batch_size=30)
    assert_equal(model, dense, [random_features(np.random.default_rng(0), n) for n in (17, 5, 5, 1)])


def test_the_default_configuration_agrees_too() -> None:
    model = perturbed(replace(SMALL, d_model=192, n_heads=6, encoder_layers=4, decoder_layers=4, d_feedforward=384, n_gaussians=41))
    scale = 0.25  # widths of 192 with deviations of 0.2 saturate every softmax
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    assert_equal(model, DenseBandformer.from_reference(model), real_features()[::4])


def test_padding_changes_nothing_and_gives_finite_numbers() -> None:
    model = perturbed()
    dense = DenseBandformer.from_reference(model)
    features = real_features()[2:9:2]
    for shape in ({"n_atoms": 31}, {"batch_size": 7}, {"n_atoms": 50, "batch_size": 5, "n_slots": 14}):
        assert_equal(model, dense, features, **shape)
        assert all(torch.isfinite(output).all() for output in dense_bands(dense, features, **shape))


def test_what_padding_holds_does_not_matter() -> None:
    dense = DenseBandformer.from_reference(perturbed())
    batch = pad(real_features()[5:8], n_atoms=20)
    clean = [torch.from_numpy(batch[name]) for name in REQUIRED_INPUTS]
    numbers, index, distance, mask, atoms, kpoints = (tensor.clone() for tensor in clean)
    numbers[~atoms] = 77
    index[~mask] = 19
    distance[~mask] = 3.0
    with torch.no_grad():
        for found, expected in zip(dense(numbers, index, distance, mask, atoms, kpoints), dense(*clean), strict=True):
            torch.testing.assert_close(found, expected, atol=TOLERANCE_EV, rtol=TOLERANCE_EV)


def test_isolated_atoms_agree() -> None:
    model = perturbed()
    features = [isolated(real_features()[0]), real_features()[4], isolated(real_features()[7])]
    assert_equal(model, DenseBandformer.from_reference(model), features)


def test_exchanged_layers_are_noticed() -> None:
    model, other = perturbed(), perturbed()
    state = model.state_dict()
    for stack in ("encoder", "decoder"):
        exchanged = {
            name: state[
                name.replace(f"{stack}.layers.0.", f"{stack}.layers.?.").replace("layers.1.", "layers.0.").replace("?", "1")
            ]
            if name.startswith(stack)
            else tensor
            for name, tensor in state.items()
        }
        other.load_state_dict(exchanged)
        with pytest.raises(AssertionError):
            assert_equal(model, DenseBandformer.from_reference(other), real_features()[6:8])


def test_a_parameter_without_a_place_is_an_error() -> None:
    model = perturbed(replace(SMALL, edge_values=True))
    with pytest.raises(RuntimeError, match=r"edge_value\.weight"):
        DenseBandformer(SMALL).load_state_dict(model.state_dict())


def test_masked_softmax_is_exact() -> None:
    score = torch.tensor([[-3.0, 80.0, 80.0, 90.0], [1.0, 2.0, 3.0, 4.0]])
    mask = torch.tensor([[True, True, True, False], [False] * 4])
    expected = torch.softmax(score[:1, :3], dim=-1)
    found = masked_softmax(score, mask)
    torch.testing.assert_close(found[:1, :3], expected)
    assert found[0, 3] == 0.0
    assert (found[1] == 0.0).all()


def test_a_masked_bias_leaves_a_softmax_over_what_there_is() -> None:
    score, mask = torch.tensor([-3.0, 80.0, 80.0, 90.0]), torch.tensor([True, True, True, False])
    found = torch.softmax(score + masked_bias(mask, score.dtype), dim=-1)
    torch.testing.assert_close(found[:3], torch.softmax(score[:3], dim=-1))
    assert found[3] == 0.0


def test_rearranged_attention_is_the_trained_one() -> None:
    torch.manual_seed(0)
    nodes, path, mask = (
        torch.randn(2, 5, SMALL.d_model),
        torch.randn(2, 7, SMALL.d_model),
        torch.arange(5) < torch.tensor([[5], [2]]),
    )
    trained = CrossAttention(replace(SMALL, dropout=0.0)).eval()
    with torch.no_grad():
        expected = trained(path, Memory(nodes, mask))
        torch.testing.assert_close(FoldedCrossAttention(trained)(path, Memory(nodes, mask)), expected, atol=1e-6, rtol=1e-5)


def test_every_variant_has_a_reference_and_a_dense_module() -> None:
    assert DENSE.keys() == REFERENCES.keys()
