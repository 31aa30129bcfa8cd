"""Bands of the fourier variant are Fourier series over a closed path; the matrices are the transforms of NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bandrt_train.model.config import ConfigError, ModelConfig
from bandrt_train.model.graphs import to_batch
from bandrt_train.model.modes import CORNER_MODE, ModeTokens, analysis, mode_waves, synthesis
from tests.support.small_models import SMALL, perturbed, real_features

FOURIER = replace(SMALL, variant="fourier", n_modes=10)
TOLERANCE = 1e-5
"""fp32 rounding of sums over a path."""


def test_the_modes_of_a_closed_path_are_its_real_fourier_transform() -> None:
    values = np.random.default_rng(0).normal(size=FOURIER.n_kpoints)
    values[-1] = values[0]
    expected = np.fft.rfft(values[:-1])[: FOURIER.n_modes] * 2.0 / (FOURIER.n_kpoints - 1)
    even, odd = (analysis(FOURIER).double() @ torch.from_numpy(values)).chunk(2)
    np.testing.assert_allclose(even, expected.real, atol=TOLERANCE)
    np.testing.assert_allclose(odd, -expected.imag, atol=TOLERANCE)


def test_synthesis_is_the_inverse_transform_of_weighted_modes() -> None:
    generator = np.random.default_rng(1)
    even, odd = generator.normal(size=(2, FOURIER.n_modes))
    usual = 1.0 / (1.0 + (np.arange(FOURIER.n_modes) / CORNER_MODE) ** 2)
    spectrum = 0.5 * (FOURIER.n_kpoints - 1) * usual * (even - 1j * odd)
    spectrum[0] = (FOURIER.n_kpoints - 1) * even[0]
    expected = np.fft.irfft(spectrum, FOURIER.n_kpoints - 1)
    found = torch.from_numpy(np.concatenate([even, odd])) @ synthesis(FOURIER).double()
    np.testing.assert_allclose(found[:-1], expected, atol=TOLERANCE)
    np.testing.assert_allclose(found[-1], expected[0], atol=TOLERANCE)


def test_bands_begin_and_end_with_the_same_energy_and_hold_no_higher_modes() -> None:
    with torch.no_grad():
        bands = perturbed(FOURIER)(to_batch(real_features()))
    torch.testing.assert_close(bands.energies[..., 0], bands.energies[..., -1], atol=TOLERANCE, rtol=0)
    assert bands.energies.std(dim=-1).min() > 0.01
    spectrum = torch.fft.rfft(bands.energies[..., :-1].double(), dim=-1).abs()
    assert spectrum[..., FOURIER.n_modes :].max() < 1e-4 * spectrum.max()
    torch.testing.assert_close(bands.center, bands.energies.mean(dim=-1), atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(bands.dispersion.mean(dim=-1), torch.zeros_like(bands.center), atol=TOLERANCE, rtol=0)


def test_the_paths_of_real_crystals_are_closed() -> None:
    for features in real_features():
        np.testing.assert_allclose(features.kpoints[[0, -1]], 0.0, atol=1e-6)


def test_tokens_see_the_k_points_and_tell_modes_apart() -> None:
    tokens = ModeTokens(FOURIER)
    kpoints = torch.from_numpy(np.stack([features.kpoints for features in real_features()[:2]]))
    with torch.no_grad():
        first, second = tokens(kpoints)
    assert first.shape == (FOURIER.n_modes, FOURIER.d_model)
    assert (first - second).abs().max() > 0.01
    assert torch.pdist(first).min() > 0.01


def test_every_parameter_learns_and_no_weight_depends_on_the_number_of_k_points() -> None:
    model = perturbed(FOURIER)
    bands = model(to_batch(real_features()[:4]))
    (bands.energies**2).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    finer = perturbed(replace(FOURIER, n_kpoints=96))
    finer.load_state_dict(model.state_dict())


@pytest.mark.parametrize(("n_kpoints", "allowed"), [(48, 24), (49, 24)])
def test_more_modes_than_the_path_can_tell_apart_are_refused(n_kpoints: int, allowed: int) -> None:
    waves = mode_waves(ModelConfig(variant="fourier", n_kpoints=n_kpoints, n_modes=allowed))[:, :-1]
    assert torch.linalg.matrix_rank(waves) == 2 * allowed - 1  # all but the sine of mode 0
    with pytest.raises(ConfigError, match=f"n_modes is {allowed + 1}, allowed: at most {allowed}"):
        ModelConfig(variant="fourier", n_kpoints=n_kpoints, n_modes=allowed + 1)
    assert ModelConfig(n_kpoints=n_kpoints).n_modes == 64  # of no meaning in the paper's variant
