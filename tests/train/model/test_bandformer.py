"""The whole reference model: what it returns, what it must not depend on, and how it is scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from bandrt.features import Features
from bandrt_train.model.bandformer import REFERENCES, Bandformer, BandOutput, band_loss, build_model
from bandrt_train.model.config import ConfigError, ModelConfig
from bandrt_train.model.graphs import to_batch, to_data
from tests.support.small_models import BLOCH, SMALL, bloch_features, perturbed, real_features

TOLERANCE_EV = 1e-5
"""fp32 rounding on energies of a few eV."""
BF16_ERROR = 0.02
"""Share of the spread of energies that products in bf16, with 8 bits, may move them by."""


def energies(model: Bandformer, *features: Features) -> torch.Tensor:
    with torch.no_grad():
        return model(to_batch(features)).energies


def renumbered(features: Features, order: np.ndarray) -> Features:
    """The same crystal with its atoms in another order, and the slots of each atom reversed."""
    place = np.argsort(order)
    return replace(
        features,
        atomic_numbers=features.atomic_numbers[order],
        neighbor_index=place[features.neighbor_index][order][:, ::-1].astype(np.int32).copy(),
        neighbor_distance=features.neighbor_distance[order][:, ::-1].copy(),
        neighbor_mask=features.neighbor_mask[order][:, ::-1].copy(),
    )


def test_edges_point_from_the_neighbour_to_the_atom_that_listens() -> None:
    features = real_features()[8]
    graph = to_data(features)
    expected = [
        (int(features.neighbor_index[i, d]), i, float(features.neighbor_distance[i, d]))
        for i in range(len(features.atomic_numbers))
        for d in range(features.neighbor_index.shape[1])
        if features.neighbor_mask[i, d]
    ]
    found = [(int(j), int(i), float(r)) for (j, i), r in zip(graph.edge_index.T, graph.edge_length, strict=True)]
    assert found == expected
    assert graph.kpoints.shape == (1, len(features.kpoints), 3)


def test_energies_are_centre_plus_dispersion_and_the_centre_is_the_mean() -> None:
    with torch.no_grad():
        output = perturbed()(to_batch(real_features()[:5]))
    assert output.center.shape == (5, 6)
    assert output.dispersion.shape == output.energies.shape == (5, 6, 48)
    torch.testing.assert_close(output.energies.mean(dim=-1), output.center, atol=TOLERANCE_EV, rtol=0)
    torch.testing.assert_close(output.dispersion.mean(dim=-1), torch.zeros(5, 6), atol=TOLERANCE_EV, rtol=0)
    torch.testing.assert_close(output.center.unsqueeze(-1) + output.dispersion, output.energies)


def test_a_crystal_gets_the_same_bands_alone_and_in_company() -> None:
    model, features = perturbed(), real_features()
    together = energies(model, *features[::3])
    for row, one in enumerate(features[::3]):
        torch.testing.assert_close(together[row : row + 1], energies(model, one), atol=TOLERANCE_EV, rtol=0)


def test_the_order_of_atoms_and_neighbours_does_not_matter() -> None:
    model, features = perturbed(), real_features()[-3]
    order = np.random.default_rng(0).permutation(len(features.atomic_numbers))
    torch.testing.assert_close(energies(model, renumbered(features, order)), energies(model, features), atol=TOLERANCE_EV, rtol=0)


def test_elements_distances_and_kpoints_all_matter() -> None:
    model, features = perturbed(), real_features()[9]
    known = energies(model, features)
    changes: list[Callable[[Features], Features]] = [
        lambda f: replace(f, atomic_numbers=f.atomic_numbers[::-1] + np.int32(1)),
        lambda f: replace(f, neighbor_distance=f.neighbor_distance * np.linspace(0.8, 1.1, 12, dtype=np.float32)),
        lambda f: replace(f, kpoints=f.kpoints * np.float32(0.5)),
    ]
    for change in changes:
        assert (energies(model, change(features)) - known).abs().max() > 100 * TOLERANCE_EV


def test_only_edge_values_let_distances_reach_a_crystal_of_one_atom() -> None:
    features = real_features()[0]
    stretched = replace(features, neighbor_distance=features.neighbor_distance * np.float32(1.1))
    for edge_values in (False, True):
        model = perturbed(replace(SMALL, edge_values=edge_values))
        change = float((energies(model, stretched) - energies(model, features)).abs().max())
        assert (change > 100 * TOLERANCE_EV) == edge_values


@pytest.mark.parametrize("node_features", ["one_hot", "elemental", "elemental_one_hot"])
def test_every_parameter_learns(node_features: str) -> None:
    model = perturbed(replace(SMALL, node_features=node_features, edge_values=True)).train()
    output = model(to_batch(real_features()[3:9]))
    targets = torch.randn(output.energies.shape, generator=torch.Generator().manual_seed(0))
    band_loss(output, targets, torch.ones_like(targets, dtype=torch.bool)).total.backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


def test_an_untrained_model_says_the_mean_of_the_training_data() -> None:
    model = build_model(SMALL).eval()
    mean = torch.linspace(-3.0, 4.0, 6)
    model.heads.set_statistics(mean, torch.ones(6), torch.ones(6))
    found = energies(model, *real_features()[:3])
    torch.testing.assert_close(found, mean[None, :, None].expand_as(found))


def test_the_model_can_learn_two_crystals_by_heart() -> None:
    torch.manual_seed(0)
    model = build_model(replace(SMALL, dropout=0.0))
    batch = to_batch(real_features()[4:6])
    phase = 2 * torch.pi * batch.kpoints.sum(dim=-1)  # (2, K)
    targets = torch.arange(6.0)[None, :, None] + torch.cos(phase)[:, None] * torch.tensor([0.5, 1.5])[:, None, None]
    mask = torch.ones_like(targets, dtype=torch.bool)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    first = float(band_loss(model(batch), targets, mask).total.detach())
    for _ in range(120):
        optimizer.zero_grad()
        loss = band_loss(model(batch), targets, mask).total
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1 * first


def test_the_loss_is_the_mean_error_of_centres_plus_the_weighted_one_of_dispersions() -> None:
    with torch.no_grad():
        output = perturbed()(to_batch(real_features()[:4]))
    targets = torch.randn(output.energies.shape, generator=torch.Generator().manual_seed(0))
    loss = band_loss(output, targets, torch.ones(4, 1, 48, dtype=torch.bool), dispersion_weight=2.5)
    center = targets.mean(dim=-1)
    expected_center = (output.center - center).abs().mean()
    expected_dispersion = (output.dispersion - (targets - center.unsqueeze(-1))).abs().mean()
    torch.testing.assert_close(loss.center, expected_center)
    torch.testing.assert_close(loss.dispersion, expected_dispersion)
    torch.testing.assert_close(loss.total, expected_center + 2.5 * expected_dispersion)


def test_masked_labels_do_not_count_whatever_they_hold() -> None:
    with torch.no_grad():
        output = perturbed()(to_batch(real_features()[:4]))
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(output.energies.shape, generator=generator)
    mask = torch.rand(targets.shape, generator=generator) < 0.5
    mask[2, 4] = False
    mask[3] = False
    loss = band_loss(output, targets, mask)
    assert loss == band_loss(output, torch.where(mask, targets, 1e3), mask)
    bands = [(b, n) for b in range(4) for n in range(6) if mask[b, n].any()]
    errors = [(output.energies - targets)[b, n][mask[b, n]] for b, n in bands]
    torch.testing.assert_close(loss.center, torch.stack([e.mean().abs() for e in errors]).mean())
    torch.testing.assert_close(loss.dispersion, torch.stack([(e - e.mean()).abs().mean() for e in errors]).mean())


def test_a_batch_without_labels_costs_nothing() -> None:
    bands = torch.zeros(2, 6, 48)
    loss = band_loss(BandOutput(bands[..., 0], bands, bands), bands + 1, torch.zeros(2, 6, 48, dtype=torch.bool))
    assert float(loss.total) == 0.0


@pytest.mark.parametrize(
    ("field", "value"),
    [("d_model", 20), ("n_heads", 5), ("encoder_layers", 0), ("n_gaussians", 1), ("max_distance", 0.0), ("dropout", 1.0)],
)
def test_a_configuration_no_model_can_have_is_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=str(value)) as refused:
        replace(SMALL, **{field: value})
    assert refused.value.code == "config-invalid"


def test_the_registry_names_every_variant_a_configuration_can() -> None:
    assert build_model(ModelConfig(d_model=12, n_heads=2)).__class__ is REFERENCES["paper"]


@pytest.mark.parametrize("variant", ["paper", "fourier", "bloch"])
def test_mixed_precision_changes_bands_by_little_and_gives_gradients_in_full(variant: str) -> None:
    config = replace(BLOCH, variant=variant, n_modes=10, atomic_levels=variant == "bloch")
    model = perturbed(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    batch = to_batch(bloch_features()[:12])
    with torch.no_grad():
        expected = model(batch).energies
    with torch.autocast("cpu", torch.bfloat16):
        found = model(batch).energies
    assert found.dtype == torch.float32
    assert 0.0 < (found - expected).abs().mean() < BF16_ERROR * (expected - expected.mean(dim=(0, 2), keepdim=True)).abs().mean()
    found.sum().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in model.parameters())
