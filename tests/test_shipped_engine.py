"""The engine that ships: its word about itself, and predictions that do not depend on how a crystal is written down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import bandrt
from bandrt.crystal import Crystal
from bandrt.predict import Engine
from bandrt.readers import to_crystal
from tests.support.other_cells import CHANGES, changed_at_once

ENERGY_TOLERANCE_EV = 1e-4
"""What another description of the same crystal may change: float32 rounding of the inputs, amplified by the model."""
BATCH_TOLERANCE_EV = 1e-5
"""What the company in a batch may change: the order of float32 sums."""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with bandrt.load("fast", threads=1) as engine:
        yield engine


@pytest.fixture(scope="module")
def crystals(examples: Path) -> dict[str, Crystal]:
    found = {path.stem: to_crystal(path) for path in sorted(examples.iterdir()) if path.suffix in (".cif", ".vasp")}
    assert len(found) >= 30
    return found


def energies(engine: Engine, items: list[Crystal]) -> list[np.ndarray]:
    results = list(engine.predict(items))
    assert all(isinstance(result, bandrt.Prediction) for result in results), results
    return [result.band_structure.energies for result in results]


def test_its_manifest_says_what_it_is_and_how_it_was_verified(engine: Engine) -> None:
    manifest = engine.manifest
    assert manifest.precision == "fp32"
    assert manifest.parity is not None
    assert manifest.parity.max_energy_error_ev <= 1e-4
    assert manifest.parity.n_crystals >= 20
    assert manifest.training.n_crystals > 100
    assert len(manifest.training.elements) > 20
    assert "PBE" in manifest.training.functional
    assert manifest.training.metrics["validation/energy_mae_ev"] > 0
    assert (manifest.licence, manifest.citation) == ("MIT", "arXiv:2411.16483")


@pytest.mark.parametrize("change", CHANGES)
def test_another_description_of_a_crystal_gives_the_same_energies(
    engine: Engine, crystals: dict[str, Crystal], change: str
) -> None:
    rng = np.random.default_rng(0)
    chosen = [c for c in crystals.values() if c.n_atoms <= 12] if change != "permuted" else list(crystals.values())
    before = energies(engine, chosen)
    after = energies(engine, [CHANGES[change](crystal, rng) for crystal in chosen])
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=ENERGY_TOLERANCE_EV)


def test_another_cell_written_with_eight_decimals_gives_the_same_energies(
    engine: Engine, crystals: dict[str, Crystal], tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    chosen = {name: c for name, c in crystals.items() if c.n_atoms <= 8}
    paths = [write_poscar(tmp_path / f"{name}.vasp", changed_at_once(c, rng)) for name, c in chosen.items()]
    results = list(engine.predict(paths))
    for result, expected in zip(results, energies(engine, list(chosen.values())), strict=True):
        assert isinstance(result, bandrt.Prediction), result
        np.testing.assert_allclose(result.band_structure.energies, expected, rtol=0, atol=ENERGY_TOLERANCE_EV)


def test_the_company_in_a_batch_changes_nothing(engine: Engine, crystals: dict[str, Crystal]) -> None:
    items = list(crystals.values())
    together = energies(engine, items)
    for crystal, expected in zip(items[::5], together[::5], strict=True):
        [alone] = energies(engine, [crystal])
        np.testing.assert_allclose(alone, expected, rtol=0, atol=BATCH_TOLERANCE_EV)


def test_different_crystals_get_different_bands(engine: Engine, crystals: dict[str, Crystal]) -> None:
    centers = np.array([bands.mean(axis=1) for bands in energies(engine, list(crystals.values()))])
    distances = np.abs(centers[:, None] - centers[None]).max(axis=-1)[np.triu_indices(len(centers), 1)]
    assert distances.min() > 1e-3


def test_energies_vary_along_the_path(engine: Engine, crystals: dict[str, Crystal]) -> None:
    widths = [np.ptp(bands, axis=1).max() for bands in energies(engine, list(crystals.values()))]
    assert np.median(widths) > 0.5


def write_poscar(path: Path, crystal: Crystal) -> Path:
    """Write with eight decimals, atoms grouped by species."""
    order = np.argsort(crystal.atomic_numbers, kind="stable")
    symbols = np.array(crystal.symbols)[order].tolist()
    kinds = sorted(set(symbols), key=symbols.index)
    rows = [path.stem, "1.0", *(" ".join(f"{x:.8f}" for x in row) for row in crystal.lattice)]
    rows += [" ".join(kinds), " ".join(str(symbols.count(kind)) for kind in kinds), "Direct"]
    rows += [" ".join(f"{x:.8f}" for x in row) for row in crystal.frac_coords[order]]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path
