"""The parity gate measures what it says, and lets nothing through that is not the same model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bandrt.bands.band_structure import gaps, in_order
from bandrt.engine.onnx.session import OnnxSession
from bandrt.manifest import BandRule, ParityReport
from bandrt_export.errors import ExportError
from bandrt_export.output import summary
from bandrt_export.parity import BATCH_SIZES, EXTRA_ATOMS, HALF_LIMITS, Limits, compare, featurize_all, packaged_crystals, require
from bandrt_train.model.graphs import to_batch
from tests.support.small_models import RECIPE, real_features

LIMIT_EV = 1e-4
LIMITS = Limits(max_energy_ev=LIMIT_EV)


class Altered:
    """A session that changes what another one says."""

    def __init__(self, session: OnnxSession, change: Any) -> None:
        self.session = session
        self.change = change
        self.shapes: list[tuple[int, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def run(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self.shapes.append(inputs["atomic_numbers"].shape)
        outputs = self.session.run(inputs)
        self.change(inputs, outputs)
        return outputs


@pytest.fixture
def session(exported: Any) -> Iterator[OnnxSession]:
    with closing(OnnxSession(exported.engine, whole_batches=True)) as opened:
        yield opened


def report_of(exported: Any, session: OnnxSession, change: Any = lambda inputs, outputs: None) -> ParityReport:
    return compare(exported.model, Altered(session, change), real_features(), rule=BandRule(), limits=LIMITS)


def test_the_packaged_crystals_are_real_and_of_many_sizes() -> None:
    sizes = [len(one.atomic_numbers) for one in featurize_all(packaged_crystals(), RECIPE)]
    assert sizes == sorted(sizes)
    assert len(sizes) >= 24
    assert sizes[0] == 1
    assert 30 <= sizes[-1] <= 40
    assert len({one.space_group for one in real_features()}) >= 15


def test_an_export_is_within_rounding_of_its_reference(exported: Any, session: OnnxSession) -> None:
    report = report_of(exported, session)
    assert report.max_energy_error_ev < 0.1 * LIMIT_EV
    assert report.mean_energy_error_ev < report.max_energy_error_ev
    assert report.metal_flips == 0
    assert report.n_crystals == 24
    require(report, name="model.onnx")


def test_every_crystal_is_compared_in_every_batch_size_and_with_padding(exported: Any, session: OnnxSession) -> None:
    watched = Altered(session, lambda inputs, outputs: None)
    compare(exported.model, watched, real_features(), rule=BandRule(), limits=LIMITS)
    assert sum(batch for batch, _ in watched.shapes) == 24 * len(BATCH_SIZES)
    assert {batch for batch, _ in watched.shapes} >= {1, 2, 5, 12}
    largest = len(real_features()[-1].atomic_numbers)
    assert max(atoms for _, atoms in watched.shapes) > largest
    assert len(EXTRA_ATOMS) > 1


@pytest.mark.parametrize("output", ["band_energies", "band_center", "band_dispersion"])
def test_one_wrong_number_in_any_output_is_found(exported: Any, session: OnnxSession, output: str) -> None:
    def change(inputs: dict[str, NDArray[Any]], outputs: dict[str, NDArray[Any]]) -> None:
        if inputs["atom_mask"][-1].sum() == 40:  # only the largest crystal
            outputs[output].flat[-1] += 0.003

    report = report_of(exported, session, change)
    assert report.max_energy_error_ev == pytest.approx(0.003, abs=1e-5)
    with pytest.raises(ExportError, match=r"model\.onnx: energies differ .* 0\.003 eV .* limit is 0\.0001 eV") as refused:
        require(report, name="model.onnx")
    assert refused.value.code == "parity-failed"


def test_an_energy_that_is_not_a_number_never_passes(exported: Any, session: OnnxSession) -> None:
    def change(inputs: dict[str, NDArray[Any]], outputs: dict[str, NDArray[Any]]) -> None:
        if len(inputs["atomic_numbers"]) == 1:
            outputs["band_energies"][0, 0, 0] = np.nan

    report = report_of(exported, session, change)
    assert report.max_energy_error_ev == np.inf
    with pytest.raises(ExportError, match="inf eV"):
        require(report, name="model.onnx")


def test_half_precision_is_judged_by_the_mean_and_the_gaps(exported: Any) -> None:
    limits = HALF_LIMITS
    assert limits == Limits(max_energy_ev=None, mean_energy_ev=5e-3, gap_ev=20e-3)
    within = replace(
        exported.manifest.parity,
        max_energy_error_ev=0.3,
        mean_energy_error_ev=5e-3,
        max_gap_change_ev=20e-3,
        limit_ev=None,
        mean_limit_ev=limits.mean_energy_ev,
        gap_limit_ev=limits.gap_ev,
    )
    require(within, name="model.onnx")
    for change, what in (
        ({"mean_energy_error_ev": 5.1e-3}, "on average by 0.0051 eV .* limit is 0.005 eV"),
        ({"mean_energy_error_ev": np.nan}, "on average by nan eV"),
        ({"max_gap_change_ev": 0.021}, "gaps differ .* 0.021 eV .* limit is 0.02 eV"),
        ({"max_energy_error_ev": np.inf}, "not all outputs are finite"),
    ):
        with pytest.raises(ExportError, match=what) as refused:
            require(replace(within, **change), name="model.onnx")
        assert refused.value.code == "parity-failed"


def test_gaps_that_move_and_metals_that_flip_are_reported(exported: Any, session: OnnxSession) -> None:
    def widen(inputs: dict[str, NDArray[Any]], outputs: dict[str, NDArray[Any]]) -> None:
        outputs["band_energies"] = np.sort(outputs["band_energies"], axis=1)
        outputs["band_energies"][:, :3] -= 50.0
        outputs["band_energies"][:, 3:] += 50.0

    with torch.no_grad():
        energies = exported.model(to_batch(real_features())).energies.numpy()
    _, metal = gaps(in_order(energies), BandRule())
    report = report_of(exported, session, widen)
    assert report.metal_flips == metal.sum() * len(BATCH_SIZES) > 0
    assert report.max_gap_change_ev == pytest.approx(100.0, abs=1e-3)


def test_the_summary_names_numbers_limit_and_sizes() -> None:
    report = ParityReport("PyTorch", 24, (1, 2, 40), (1, 16), 2.5e-6, 4e-7, 1e-6, 0, LIMIT_EV)
    text = summary(report)
    for part in ("2.5e-06 eV", "limit 0.0001", "0 metal flips", "24 crystals", "1 to 40 atoms", "batches of 1, 16"):
        assert part in text


def test_the_limit_decides(exported: Any) -> None:
    report = exported.manifest.parity
    require(replace(report, max_energy_error_ev=LIMIT_EV), name="model.onnx")
    with pytest.raises(ExportError):
        require(replace(report, max_energy_error_ev=1.01 * LIMIT_EV), name="model.onnx")


def test_crystals_that_neither_side_has_bands_of_are_told_and_not_counted(exported: Any, session: OnnxSession) -> None:
    def without(largest: int) -> Altered:
        def change(inputs: dict[str, NDArray[Any]], outputs: dict[str, NDArray[Any]]) -> None:
            outputs["band_energies"][inputs["atom_mask"].sum(axis=1) <= largest] = np.nan

        return Altered(session, change)

    features, told = real_features(), []
    some, nothing = (
        compare(without(most), without(most), features, rule=BandRule(), limits=LIMITS, on_no_bands=told.append)
        for most in (1, 1000)
    )
    lonely = [one for one in features if len(one.atomic_numbers) == 1]
    assert 0 < len(lonely) < len(features)
    assert told[: len(lonely)] == lonely
    assert (some.n_crystals, some.n_atoms[0], some.mean_energy_error_ev) == (len(features) - len(lonely), 2, 0.0)
    require(some, name="model.onnx")
    assert (nothing.n_crystals, len(told)) == (0, len(lonely) + len(features))
    with pytest.raises(ExportError, match="no crystal has as many bands"):
        require(nothing, name="model.onnx")


def test_a_change_of_the_uncertainty_is_none_of_the_energies_but_is_judged(exported: Any) -> None:
    within = replace(exported.manifest.parity, max_uncertainty_change_ev=0.5 * LIMIT_EV, limit_ev=LIMIT_EV)
    require(within, name="model.onnx")
    with pytest.raises(ExportError, match="uncertainties differ"):
        require(replace(within, max_uncertainty_change_ev=2.0 * LIMIT_EV), name="model.onnx")
