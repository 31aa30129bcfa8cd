"""The released model computes what the authors' code computed, and can be trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data

from bandrt.features import Features
from bandrt_train.checkpoint import load_checkpoint
from bandrt_train.model.bandformer import band_loss, build_model
from bandrt_train.model.config import ConfigError
from bandrt_train.model.graphs import to_batch, to_data
from bandrt_train.model.released.config import ReleasedConfig
from bandrt_train.model.released.decoder import KpointEncoding, ModeEncoding
from bandrt_train.model.released.model import ReleasedBandformer
from tests.support.released_oracle import bands
from tests.support.small_models import SMALL_RELEASED, isolated, perturbed_released, real_features

TOLERANCE_EV = 1e-4
"""fp32 rounding on energies of up to 80 eV, as random weights give."""


def energies(model: ReleasedBandformer, *features: Features) -> torch.Tensor:
    with torch.no_grad():
        return model(to_batch(features)).energies


def golden_data(golden: Any, number: int) -> Data:
    return Data(
        atomic_numbers=torch.from_numpy(golden[f"x_{number}"]),
        edge_index=torch.from_numpy(golden[f"edge_index_{number}"]),
        edge_length=torch.from_numpy(golden[f"edge_len_{number}"]),
        kpoints=torch.from_numpy(golden[f"kpoints_{number}"]).unsqueeze(0),
        num_nodes=len(golden[f"x_{number}"]),
    )


def test_spectra_and_bands_are_those_of_the_released_code(shared: Path) -> None:
    folder = shared / "data" / "released-checkpoint"
    model = load_checkpoint(folder / "ckpt.pt").build_model()
    with np.load(folder / "golden.npz") as golden:
        batch = Batch.from_data_list([golden_data(golden, number) for number in range(len(golden["bands"]))])
        with torch.no_grad():
            spectrum, output = model.spectrum(batch), model(batch)
        np.testing.assert_allclose(spectrum.real, golden["spectrum_real"], atol=TOLERANCE_EV, rtol=0)
        np.testing.assert_allclose(spectrum.imag, golden["spectrum_imag"], atol=TOLERANCE_EV, rtol=0)
        np.testing.assert_allclose(output.energies, golden["bands"], atol=TOLERANCE_EV, rtol=0)


def test_encodings_that_are_made_here_are_those_of_the_released_code(shared: Path) -> None:
    checkpoint = load_checkpoint(shared / "data" / "released-checkpoint" / "ckpt.pt")
    for name, made in (
        ("decoder.kpe.omega", KpointEncoding(checkpoint.config).omega),
        ("decoder.pe.pe", ModeEncoding(checkpoint.config).pe),
    ):
        torch.testing.assert_close(checkpoint.state[name], made, atol=1e-5, rtol=0)


@pytest.mark.parametrize("number", [0, 6, 14])
@pytest.mark.parametrize("species_index", ["atomic_number", "atomic_number_minus_one"])
def test_an_independent_implementation_agrees(number: int, species_index: Any) -> None:
    model = perturbed_released(replace(SMALL_RELEASED, species_index=species_index))
    features = real_features()[number]
    data = to_data(features)
    expected = bands(
        {name: tensor.numpy() for name, tensor in model.state_dict().items()},
        features.atomic_numbers - (species_index == "atomic_number_minus_one"),
        data.edge_index.numpy(),
        data.edge_length.numpy(),
        features.kpoints,
        encoder_heads=4,
        decoder_heads=3,
    )
    np.testing.assert_allclose(energies(model, features)[0], expected, atol=TOLERANCE_EV, rtol=0)


def test_energies_are_centre_plus_dispersion_and_the_centre_is_the_mean() -> None:
    with torch.no_grad():
        output = perturbed_released()(to_batch(real_features()[:5]))
    assert output.center.shape == (5, 6)
    assert output.dispersion.shape == output.energies.shape == (5, 6, 48)
    torch.testing.assert_close(output.center.unsqueeze(-1) + output.dispersion, output.energies)
    torch.testing.assert_close(output.dispersion.mean(dim=-1), torch.zeros(5, 6), atol=TOLERANCE_EV, rtol=0)


def test_a_crystal_gets_the_same_bands_alone_and_in_company() -> None:
    model, features = perturbed_released(), real_features()[::4]
    together = energies(model, *features)
    for row, one in enumerate(features):
        torch.testing.assert_close(together[row : row + 1], energies(model, one), atol=TOLERANCE_EV, rtol=0)


def test_an_atom_does_not_hear_its_own_images() -> None:
    model, lone = perturbed_released(), real_features()[0]
    assert len(lone.atomic_numbers) == 1
    torch.testing.assert_close(energies(model, lone), energies(model, isolated(lone)))


def test_every_parameter_learns() -> None:
    model = perturbed_released().train()
    output = model(to_batch(real_features()[3:9]))
    targets = torch.randn(output.energies.shape, generator=torch.Generator().manual_seed(0))
    band_loss(output, targets, torch.ones_like(targets, dtype=torch.bool)).total.backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


def test_the_registry_makes_it() -> None:
    assert build_model(SMALL_RELEASED).__class__ is ReleasedBandformer


@pytest.mark.parametrize(
    ("field", "value"),
    [("d_model", 20), ("encoder_heads", 5), ("decoder_layers", 0), ("encoder_layers", 10**9), ("n_kpoints", 47), ("dropout", 1.0)],
)
def test_a_configuration_no_model_can_have_is_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=str(value)) as refused:
        replace(SMALL_RELEASED, **{field: value})
    assert refused.value.code == "config-invalid"


def test_the_defaults_are_those_of_the_released_code() -> None:
    with torch.device("meta"):
        n_parameters = sum(p.numel() for p in build_model(ReleasedConfig()).parameters())
    assert 54e6 < n_parameters < 60e6
