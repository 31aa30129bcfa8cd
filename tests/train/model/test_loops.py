"""Closed loops are what tight binding says, and see of a crystal only what does not depend on how it is written down."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from bandrt.features import Features, featurize_crystal
from bandrt.symmetry.standard_cell import standardize
from bandrt_export.parity import packaged_crystals
from bandrt_train.data.recipes import default_recipe, unmet
from bandrt_train.model.bandformer import BlochBandformer
from bandrt_train.model.config import ConfigError, ModelConfig
from bandrt_train.model.graphs import to_batch, to_data
from bandrt_train.model.loops import AMPLITUDE_FLOOR, SparseBonds, waves
from tests.support.other_cells import CHANGES
from tests.support.small_models import BLOCH, BLOCH_RECIPE, bloch_features, perturbed

TOLERANCE_EV = 2e-4
"""fp32 rounding of models whose perturbed weights give energies of up to 100 eV."""
SYMMETRIC = replace(BLOCH, kpoint_encoding=False)
"""A k-point is known by its loops alone."""


@pytest.fixture(scope="module")
def symmetric() -> BlochBandformer:
    model = perturbed(SYMMETRIC)
    assert isinstance(model, BlochBandformer)
    return model


def energies(model: BlochBandformer, *features: Features) -> Tensor:
    with torch.no_grad():
        return model(to_batch(features)).energies


def assert_same(found: Tensor, expected: Tensor) -> None:
    largest = float(expected.abs().max())  # perturbed weights say up to hundreds of eV
    torch.testing.assert_close(found, expected, atol=max(TOLERANCE_EV, 5e-6 * largest), rtol=0)


def at(features: Features, kpoints: np.ndarray) -> Features:
    return replace(features, kpoints=kpoints.astype(np.float32))


def test_waves_are_exact_far_away() -> None:
    turns = torch.tensor([0.0, 0.25, 1000.25, -7.5, 0.1])
    real, imaginary = waves(turns)
    torch.testing.assert_close(real, torch.tensor([1.0, 0.0, 0.0, -1.0, 0.80901699]), atol=1e-6, rtol=0)
    torch.testing.assert_close(imaginary, torch.tensor([0.0, 1.0, 1.0, 0.0, 0.58778525]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("which", [0, 3, 9])
def test_loops_are_the_sums_of_hoppings_that_the_formulas_say(symmetric: BlochBandformer, which: int) -> None:
    features = bloch_features()[which]
    graph = to_data(features)
    n_atoms, n_edges = len(features.atomic_numbers), graph.edge_index.shape[1]
    nodes = torch.randn(n_atoms, BLOCH.d_model, generator=torch.Generator().manual_seed(0))
    turns = torch.from_numpy(features.kpoints) @ graph.edge_image.float().T  # (K, n_edges)
    bonds = SparseBonds(graph.edge_index, symmetric.expansion(graph.edge_length), graph.edge_length, turns.T)
    layer = symmetric.loops
    with torch.no_grad():
        found = layer(nodes, bonds).double().numpy()
        (source, target), gaussians = graph.edge_index, bonds.gaussians
        hidden = layer.distance(gaussians) + layer.center(nodes)[target] + layer.neighbor(nodes)[source]
        hopping = layer.hoppings(hidden, graph.edge_length).double().numpy()  # (n_edges, n_hoppings)
    phase = np.exp(2j * np.pi * features.kpoints.astype(np.float64) @ graph.edge_image.double().numpy().T)  # (K, n_edges)
    block = np.zeros((n_atoms, n_atoms, len(features.kpoints), BLOCH.n_hoppings), dtype=complex)
    for edge in range(n_edges):
        block[target[edge], source[edge]] += phase[:, edge, None] * hopping[edge]
    one_step = np.stack([block[i, i].real for i in range(n_atoms)])
    two_step = (np.abs(block) ** 2).sum(axis=1)
    expected = np.concatenate([one_step, np.sqrt(two_step + AMPLITUDE_FLOOR)], axis=-1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_image_in_which_an_atom_is_written_does_not_matter(symmetric: BlochBandformer) -> None:
    rng = np.random.default_rng(0)
    for features in bloch_features()[::4]:
        moved = rng.integers(-2, 3, (len(features.atomic_numbers), 3))
        image = features.neighbor_image + moved[:, None] - moved[features.neighbor_index]
        rewritten = replace(features, neighbor_image=(image * features.neighbor_mask[..., None]).astype(np.int32))
        assert_same(energies(symmetric, rewritten), energies(symmetric, features))
        encoded = perturbed(BLOCH)
        assert_same(energies(encoded, rewritten), energies(encoded, features))


@pytest.mark.parametrize("change", CHANGES)
def test_origin_cell_orientation_and_order_of_atoms_do_not_matter(symmetric: BlochBandformer, change: str) -> None:
    rng = np.random.default_rng(1)
    for crystal in packaged_crystals()[::6]:
        other = CHANGES[change](crystal, rng)
        found, expected = (energies(symmetric, featurize_crystal(one, BLOCH_RECIPE)) for one in (other, crystal))
        assert_same(found, expected)


def test_a_kpoint_its_opposite_and_its_copies_in_other_zones_have_the_same_energies(symmetric: BlochBandformer) -> None:
    rng = np.random.default_rng(2)
    features = bloch_features()[6]
    expected = energies(symmetric, features)
    assert expected.std(dim=-1).min() > 100 * TOLERANCE_EV
    assert_same(energies(symmetric, at(features, -features.kpoints)), expected)
    assert_same(energies(symmetric, at(features, features.kpoints + rng.integers(-1, 2, features.kpoints.shape))), expected)


def test_bands_have_the_symmetry_of_the_crystal(symmetric: BlochBandformer) -> None:
    rng = np.random.default_rng(3)
    n_cubic = 0
    for crystal in packaged_crystals():
        cell = standardize(crystal)
        features = featurize_crystal(crystal, BLOCH_RECIPE)
        half = rng.uniform(-0.5, 0.5, (24, 3))
        turned = np.einsum("kij,kj->ki", cell.rotations[rng.integers(len(cell.rotations), size=24)], half)
        found = energies(symmetric, at(features, np.concatenate([half, turned])))
        assert_same(found[..., :24], found[..., 24:])
        n_cubic += cell.space_group >= 195
    assert n_cubic >= 3


def test_the_encoding_of_coordinates_alone_breaks_the_symmetry() -> None:
    features = bloch_features()[6]
    model = perturbed(BLOCH)
    assert (energies(model, at(features, -features.kpoints)) - energies(model, features)).abs().max() > 100 * TOLERANCE_EV


def test_bands_know_directions_that_distances_do_not_tell(symmetric: BlochBandformer) -> None:
    features = bloch_features()[0]
    other = replace(features, neighbor_image=features.neighbor_image[:, ::-1].copy())
    assert (energies(symmetric, other) - energies(symmetric, features)).abs().max() > 100 * TOLERANCE_EV


def test_a_crystal_gets_the_same_bands_alone_and_in_company(symmetric: BlochBandformer) -> None:
    features = bloch_features()[::5]
    together = energies(symmetric, *features)
    for row, one in enumerate(features):
        assert_same(together[row : row + 1], energies(symmetric, one))


def test_every_parameter_of_the_variant_learns() -> None:
    model = perturbed(BLOCH).train()
    model(to_batch(bloch_features()[3:9])).energies.square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_an_untrained_model_says_the_mean_of_the_training_data() -> None:
    model = BlochBandformer(replace(BLOCH, atomic_levels=False)).eval()
    mean = torch.linspace(-3.0, 4.0, 6)
    model.heads.set_statistics(mean, torch.ones(6), torch.ones(6))
    found = energies(model, *bloch_features()[:3])
    torch.testing.assert_close(found, mean[None, :, None].expand_as(found))


def test_only_this_variant_can_do_without_coordinates() -> None:
    with pytest.raises(ConfigError, match="kpoint_encoding is False"):
        ModelConfig(variant="paper", kpoint_encoding=False)


def test_a_recipe_that_loops_can_not_be_closed_with_is_named() -> None:
    recipe = default_recipe("bloch")
    assert recipe.graph.n_neighbors == 32
    assert unmet(BLOCH, recipe) is None
    assert unmet(ModelConfig(), default_recipe("paper")) is None
    for changed, named in (
        (default_recipe("paper"), "complete shells"),
        (replace(recipe, kpath=replace(recipe.kpath, frame="cartesian")), "fractional"),
        (replace(recipe, graph=replace(recipe.graph, self_images=False)), "images of an atom"),
    ):
        assert named in str(unmet(BLOCH, changed))
