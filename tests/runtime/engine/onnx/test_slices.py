"""Batches on a CPU are run in slices, and no one can tell from the numbers."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandrt.batch import pad
from bandrt.contract import GRAPH_INPUTS, INVERSION
from bandrt.engine.onnx.session import OnnxSession
from bandrt.engine.onnx.slices import (
    MAX_ATOMS,
    MAX_CRYSTALS,
    MAX_PADDING,
    RunTensors,
    Slice,
    SlicedRunner,
    Tensors,
    peak_bytes,
    peak_of,
    slices,
)
from bandrt.features import featurize
from bandrt.hamiltonian.trips import solver_bytes
from bandrt.recipe import GraphRecipe, KpathRecipe, Recipe
from tests.support.tiny_hamiltonian import MANIFEST, N_KPOINTS

ENERGY_TOLERANCE_EV = 1e-5
"""fp32 rounding of energies of a few eV."""


def masks(sizes: list[int], n_atoms: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.arange(n_atoms) < np.array(sizes)[:, None]


def of_atoms(part: Slice) -> int:
    return peak_bytes(part.n_atoms)


def test_crystals_of_similar_size_share_a_slice() -> None:
    cut = [(part.rows.tolist(), part.n_atoms) for part in slices(masks([2, 20, 5, 13, 11, 12, 2, 2, 2], 20))]
    assert cut == [([0, 6, 7, 8], 2), ([2], 5), ([4, 5], 12), ([3], 13), ([1], 20)]


@pytest.mark.parametrize("max_crystals", [1, 2, MAX_CRYSTALS])
def test_slices_hold_every_crystal_once_and_stay_small(max_crystals: int) -> None:
    sizes = np.random.default_rng(0).integers(1, 40, 50)
    parts = slices(masks(sizes.tolist(), 64), max_crystals=max_crystals)
    assert sorted(np.concatenate([part.rows for part in parts])) == list(range(50))
    for part in parts:
        assert part.n_atoms == sizes[part.rows].max()
        assert len(part.rows) <= max_crystals
        padded = len(part.rows) * part.n_atoms
        assert len(part.rows) == 1 or (padded <= MAX_ATOMS and padded - sizes[part.rows].sum() <= MAX_PADDING)


def test_rows_of_padding_alone_are_run_as_one_atom() -> None:
    [part] = slices(masks([0, 0], 5))
    assert (part.rows.tolist(), part.n_atoms) == ([0, 1], 1)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_come_back_in_the_order_of_the_batch(threads: int) -> None:
    sizes = [9, 1, 30, 4, 4, 17, 2]
    batch: Tensors = {
        "atom_mask": masks(sizes, 30),
        "atomic_numbers": np.arange(7)[:, None] * np.ones(30),
        "kpoints": np.arange(21.0).reshape(7, 3),
    }

    def run(part: Tensors) -> Tensors:
        assert part["atomic_numbers"].shape[1] == part["atom_mask"].sum(axis=1).max()
        return {"row": part["atomic_numbers"][:, 0], "last": part["kpoints"][:, 2]}

    runner = SlicedRunner(run, run, threads, of_atoms)
    found = runner.run(batch)
    runner.close()
    assert found["row"].tolist() == list(range(7))
    assert found["last"].tolist() == [2, 5, 8, 11, 14, 17, 20]


def test_threads_take_a_slice_each_and_one_slice_takes_all_threads() -> None:
    together = threading.Barrier(2, timeout=10)
    calls: list[str] = []

    def alone(part: Tensors) -> Tensors:
        together.wait()  # both slices are under way at once
        calls.append("alone")
        return {"n": part["atom_mask"].sum(axis=1)}

    def with_all(part: Tensors) -> Tensors:
        calls.append("all")
        return {"n": part["atom_mask"].sum(axis=1)}

    runner = SlicedRunner(with_all, alone, 2, of_atoms)
    assert runner.run({"atom_mask": masks([3, 3], 3)})["n"].tolist() == [3, 3]
    assert runner.run({"atom_mask": masks([3], 3)})["n"].tolist() == [3]
    runner.close()
    assert calls == ["alone", "alone", "all"]


def test_a_slice_uses_centres_where_all_of_its_crystals_have_one() -> None:
    batch = {"atom_mask": masks([2, 3, 2, 3], 4), "inversion_partner": np.arange(12).reshape(3, 4)}
    pairs = Slice(np.array([0, 2]), 2), Slice(np.array([1, 3]), 3)
    assert [part.of(batch)["inversion_partner"].tolist() for part in pairs] == [[[0, 1], [8, 9]], []]
    assert pairs[1].of(batch)["inversion_partner"].shape == (0, 3)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_session_gives_the_same_energies_with_and_without_slices(tiny_engine: Path, examples: Path, threads: int) -> None:
    recipe = Recipe(graph=GraphRecipe(n_neighbors=12), kpath=KpathRecipe(n_kpoints=64))
    names = ("KH2PO4_mp-24263", "NiAl_mp-1487", "GaAs_mp-8883", "In_mp-85", "CdTe_mp-406", "SiO2_mp-546794", "Al2O3_mp-1143")
    batch = pad([featurize(examples / f"{name}.cif", recipe) for name in names], batch_size=8)
    assert set(batch) == {*GRAPH_INPUTS, "mesh_kpoints", "mesh_weights", *INVERSION}
    with (
        OnnxSession(tiny_engine, threads=threads) as sliced,
        OnnxSession(tiny_engine, threads=threads, whole_batches=True) as whole,
    ):
        found, expected = sliced.run(batch)["band_energies"], whole.run(batch)["band_energies"]
    np.testing.assert_allclose(found, expected, atol=ENERGY_TOLERANCE_EV, equal_nan=True)


def test_crystals_that_take_much_memory_are_evaluated_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandrt.engine.onnx.slices.MAX_BYTES", 2 * peak_bytes(30))
    calls: list[tuple[str, int]] = []

    def noted(how: str) -> RunTensors:
        def run(batch: Tensors) -> Tensors:
            calls.append((how, batch["atom_mask"].shape[1]))
            return {"size": batch["atom_mask"].sum(axis=1)}

        return run

    sizes = [40, 3, 30, 35, 25]
    mask = np.arange(40) < np.array(sizes)[:, None]
    runner = SlicedRunner(noted("all threads"), noted("alone"), 2, of_atoms)
    try:
        assert runner.run({"atom_mask": mask})["size"].tolist() == sizes
    finally:
        runner.close()
    assert sorted(calls[:3]) == [("alone", 3), ("alone", 25), ("alone", 30)]
    assert calls[3:] == [("all threads", 35), ("all threads", 40)]


def test_slices_that_take_much_memory_may_come_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice of several small crystals may take more than one of a larger crystal."""
    monkeypatch.setattr("bandrt.engine.onnx.slices.MAX_BYTES", 2)
    calls: list[tuple[str, int]] = []

    def noted(how: str) -> RunTensors:
        def run(batch: Tensors) -> Tensors:
            calls.append((how, len(batch["atom_mask"])))
            return {"size": batch["atom_mask"].sum(axis=1)}

        return run

    sizes = [20, 5, 5, 18]
    runner = SlicedRunner(noted("all threads"), noted("alone"), 2, lambda part: len(part.rows))
    assert runner.run({"atom_mask": np.arange(20) < np.array(sizes)[:, None]})["size"].tolist() == sizes
    runner.close()
    assert sorted(calls) == [("all threads", 2), ("alone", 1), ("alone", 1)]


def test_a_solver_in_the_graph_takes_memory_of_its_own() -> None:
    one, four = slices(masks([24], 24))[0], slices(masks([6] * 4, 6))[0]
    assert len(four.rows) == 4
    assert peak_of(MANIFEST)(one) == peak_bytes(24)
    peak = peak_of(replace(MANIFEST, solver="graph"))
    assert peak(one) == pytest.approx(solver_bytes(24, N_KPOINTS + 112), rel=0.25)
    assert peak(four) == 4 * peak(four._replace(rows=four.rows[:1]))
