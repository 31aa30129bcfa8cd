"""A network with a solver beside train's own bands and filling: random weights, real crystals, padding, metals and insulators."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

import bandrt_export.eigensolver.bands
from bandrt.bands.band_structure import gaps
from bandrt.contract import HAMILTONIAN_NAMES, INPUT_NAMES, TENSORS, hamiltonian_given
from bandrt.crystal import Crystal
from bandrt.engine import read_manifest
from bandrt.engine.cuda_driver import NoDriver
from bandrt.engine.onnx.file import with_checksum
from bandrt.errors import InputError
from bandrt.hamiltonian import filling
from bandrt.hamiltonian.filling import KEPT, Filled
from bandrt.hamiltonian.trips import solver_bytes
from bandrt.manifest import METADATA_KEY, BandRule
from bandrt.recipe import MeshRecipe
from bandrt.symmetry.inversion import Inversion
from bandrt_export.eigensolver.assembly import with_solver
from bandrt_export.errors import ExportError
from bandrt_export.plan.build import build_plan, check_precision
from bandrt_export.plan.builder import PlanBuilder
from bandrt_export.plan.profiles import MOST_BONDS
from bandrt_train.model.hamiltonian.model import RealSpace, bands
from bandrt_train.model.hamiltonian.pairs import Pairs, find_pairs
from tests.support.given_hamiltonians import (
    GIVEN,
    SOLVER_INPUTS,
    batch_of,
    inversions,
    manifest_of,
    network,
    network_of_the_contract,
    run,
    with_centres,
)
from tests.support.other_cells import Change, permuted, rotated, shifted
from tests.support.small_hamiltonians import ALUMINIUM, GALLIUM_ARSENIDE, SALT, SILICON, TRICLINIC, fill, plain_mesh, small_model

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCE_EV = 5e-4
"""Of energies, that is fp32 and a millionth of a spectrum of 100 eV, and of a zero among few states, on which they tell."""
ROUNDING_EV = 1e-4
"""Of fp32, in another order."""
TOUCHING_EV = 1e-3
"""Bands that are closer than this may be taken for a metal or not, by rounding alone."""
CHAIN = Crystal(np.diag([2.2, 9.0, 9.0]), np.array([1], np.int32), np.zeros((1, 3)))
HELIUM = Crystal(3.0 * np.eye(3), np.array([2], np.int32), np.zeros((1, 3)))
KPOINTS = np.random.default_rng(7).uniform(-0.5, 0.5, (11, 3)).astype(np.float32).astype(np.float64)
HELD_BY_A_RUN = """
import numpy, onnxruntime
def peak():
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))
options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.enable_mem_pattern = 1, False
session = onnxruntime.InferenceSession("model.onnx", options, providers=["CPUExecutionProvider"])
batch = dict(numpy.load("batch.npz"))
before = peak()
session.run(None, batch)
print(peak() - before)
"""
"""A program that runs a model, and says how many bytes it has held more than before."""
CRYSTALS = {
    "Si": SILICON,
    "GaAs": GALLIUM_ARSENIDE,
    "NaCl": SALT,
    "Al": ALUMINIUM,
    "triclinic": TRICLINIC,
    "H chain": CHAIN,
    "KCl": Crystal(SALT.lattice * 1.11, np.array([19, 17], np.int32), SALT.frac_coords),
    "LiF": Crystal(SALT.lattice * 0.71, np.array([3, 9], np.int32), SALT.frac_coords),
    "Cu": Crystal(ALUMINIUM.lattice * 0.89, np.array([29], np.int32), np.zeros((1, 3))),
}


@cache
def engine(rule: BandRule | None = None, *, centred: bool = False) -> ModelProto:
    return with_solver(network(), manifest_of(len(KPOINTS), rule, centred=centred))


def hamiltonian_of(crystal: Crystal, seed: int = 0) -> tuple[Pairs, RealSpace]:
    pairs = find_pairs(crystal)
    with torch.no_grad():
        [real_space] = small_model(seed).real_space([pairs])
    return pairs, real_space


def window_of(filled: Filled, rule: BandRule) -> NDArray[Any]:
    try:
        return filled.window(rule)
    except InputError:
        return np.full((rule.n_bands, filled.energies.shape[1]), np.nan)


def every_band(pairs: Pairs, real_space: RealSpace) -> Filled:
    mesh = plain_mesh(pairs.lattice)
    points = torch.from_numpy(np.concatenate([KPOINTS, mesh.frac_kpoints]))
    path, zone = np.split(bands(real_space, points).double().numpy(), [len(KPOINTS)])
    return filling.fill(path, zone, mesh.weights, pairs.electrons, smearing_ev=MeshRecipe().smearing, kept=None)


def nearly_touches(pairs: Pairs, real_space: RealSpace) -> bool:
    """Whether rounding decides between metal and insulator."""
    points = torch.cat([torch.from_numpy(KPOINTS).double(), torch.from_numpy(plain_mesh(pairs.lattice)[0]).double()])
    energies = bands(real_space, points)
    return abs(float(energies[:, pairs.n_filled].min() - energies[:, pairs.n_filled - 1].max())) < TOUCHING_EV


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("rule", [BandRule(), BandRule(n_bands=4, n_valence=1)], ids=["6 bands", "4 bands"])
def test_bands_of_real_crystals_are_those_of_training(seed: int, rule: BandRule) -> None:
    given = [hamiltonian_of(crystal, seed) for crystal in CRYSTALS.values()]
    found, _ = run(engine(rule), batch_of(given, KPOINTS))
    kinds = set()
    for row, (name, (pairs, real_space)) in enumerate(zip(CRYSTALS, given, strict=True)):
        filled = fill(pairs, real_space, KPOINTS)
        if pairs.is_odd or not nearly_touches(pairs, real_space):
            np.testing.assert_allclose(found[row], window_of(filled, rule), atol=TOLERANCE_EV, rtol=0, err_msg=name)
            kinds.add(("odd" if pairs.is_odd else "even", filled.is_metal))
    assert kinds >= {("odd", True), ("even", False)}


@pytest.mark.parametrize("change", [rotated, permuted, shifted])
def test_another_description_of_a_crystal_gives_the_same_bands(change: Change) -> None:
    """Turned; atoms in another order; another origin, which puts phases on the orbitals of atoms in other cells."""
    rng = np.random.default_rng(0)
    before = [hamiltonian_of(crystal) for crystal in CRYSTALS.values()]
    after = [hamiltonian_of(change(crystal, rng)) for crystal in CRYSTALS.values()]
    found, expected = (run(engine(), batch_of(given, KPOINTS))[0] for given in (after, before))
    decided = [row for row, given in enumerate(before) if given[0].is_odd or not nearly_touches(*given)]
    assert len(decided) >= 6
    np.testing.assert_allclose(found[decided], expected[decided], atol=TOLERANCE_EV, rtol=0)


def centred_first(seed: int = 0) -> tuple[list[tuple[Pairs, RealSpace]], list[Inversion | None], int]:
    """The crystals, those with a centre of inversion first; their centres; and how many have one."""
    given = [hamiltonian_of(crystal, seed) for crystal in CRYSTALS.values()]
    known = sorted(zip(given, inversions(given), strict=True), key=lambda both: both[1] is None)
    found = [inversion for _, inversion in known]
    return [one for one, _ in known], found, sum(one is not None for one in found)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_real_matrices_of_crystals_with_a_centre_have_the_same_bands(seed: int) -> None:
    given, found, n_centred = centred_first(seed)
    assert 5 < n_centred < len(given)
    batch = batch_of(given, KPOINTS)
    expected, _ = run(engine(), batch)
    for n in (0, 2, n_centred):
        energies, _ = run(engine(centred=True), with_centres(batch, found, n))
        np.testing.assert_allclose(energies, expected, atol=TOLERANCE_EV, rtol=0)
    for row, (pairs, real_space) in enumerate(given):
        if pairs.is_odd or not nearly_touches(pairs, real_space):
            filled = window_of(fill(pairs, real_space, KPOINTS), BandRule())
            np.testing.assert_allclose(energies[row], filled, atol=TOLERANCE_EV, rtol=0)


def test_partners_decide_on_the_bands() -> None:
    given, found, n_centred = centred_first()
    batch = with_centres(batch_of(given, KPOINTS), found, n_centred)
    row = next(row for row, one in enumerate(found) if one is not None and len(set(one.partner - np.arange(len(one.partner)))) > 1)
    right, _ = run(engine(centred=True), batch)
    batch["inversion_partner"][row] = np.arange(batch["inversion_partner"].shape[1])
    wrong, _ = run(engine(centred=True), batch)
    others = np.arange(len(given)) != row
    np.testing.assert_allclose(wrong[others], right[others], atol=ROUNDING_EV, rtol=0)
    assert np.abs(wrong[row] - right[row]).max() > 0.1


@pytest.mark.parametrize("change", [rotated, permuted, shifted])
def test_another_description_of_a_centred_crystal_gives_the_same_bands(change: Change) -> None:
    rng = np.random.default_rng(0)
    crystals = [CRYSTALS[name] for name in ("Si", "NaCl", "KCl", "LiF", "Cu")]
    before = [hamiltonian_of(crystal) for crystal in crystals]
    after = [hamiltonian_of(change(crystal, rng)) for crystal in crystals]
    found, expected = (
        run(engine(centred=True), with_centres(batch_of(given, KPOINTS), inversions(given), len(given)))[0]
        for given in (after, before)
    )
    decided = [row for row, given in enumerate(before) if given[0].is_odd or not nearly_touches(*given)]
    assert len(decided) >= 3
    np.testing.assert_allclose(found[decided], expected[decided], atol=TOLERANCE_EV, rtol=0)


def test_padding_changes_nothing_of_real_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [hamiltonian_of(crystal) for crystal in (ALUMINIUM, SILICON)]
    found = inversions(given)
    alone = [
        run(engine(centred=True), with_centres(batch_of([one], KPOINTS), [centre], 1))[0]
        for one, centre in zip(given, found, strict=True)
    ]
    sizes = {"B": 4, "N": 5, "M": 130}
    batch = with_centres(batch_of(given, KPOINTS, sizes=sizes), found, 4)
    padded, _ = run(engine(centred=True), batch)
    np.testing.assert_allclose(padded[:2], np.concatenate(alone), atol=ROUNDING_EV, rtol=0)
    assert np.isfinite(padded).all(), "what means nothing is finite"
    for held in (1, 10**5):  # one at a time, and a number that does not divide theirs
        monkeypatch.setattr(bandrt_export.eigensolver.bands, "HELD", held)
        some = run(with_solver(network(), manifest_of(len(KPOINTS), centred=True)), batch)[0]
        np.testing.assert_allclose(some, padded, atol=ROUNDING_EV, rtol=0)


def chain(levels: list[float], width: float, crystal: Crystal = HELIUM) -> tuple[Pairs, RealSpace]:
    """A crystal whose bands are ``level - width cos(2 pi k_x)``, in as many slots as it has anyway."""
    pairs = find_pairs(crystal)
    here, hop = torch.diag(torch.tensor(levels)).double(), -0.5 * width * torch.eye(9).double()
    blocks = torch.zeros(len(pairs.lattice_vectors), 9, 9).double()
    for cell, vector in enumerate(pairs.lattice_vectors.tolist()):
        if vector in ([1, 0, 0], [-1, 0, 0]):
            blocks[cell] = hop
    blocks[len(blocks) // 2] = here
    return pairs, RealSpace(blocks, torch.from_numpy(pairs.lattice_vectors).double(), torch.zeros(0).double())


@pytest.mark.parametrize(
    ("second", "is_metal"), [(12.0, False), (5.0, False), (2.05, False), (1.9, True), (0.5, True), (-0.3, True)]
)
def test_bands_that_overlap_make_a_metal(second: float, is_metal: bool) -> None:
    crystal = Crystal(np.eye(3), np.array([2], np.int32), np.zeros((1, 3)))
    pairs, real_space = chain([0.0, second, *(20.0 + i for i in range(7))], 1.0, crystal)
    assert (pairs.cell != len(pairs.lattice_vectors) // 2).any()
    rule = BandRule(n_bands=2, n_valence=1)
    filled = fill(pairs, real_space, KPOINTS)
    assert filled.is_metal is is_metal
    [found, _] = run(engine(rule), batch_of([(pairs, real_space)], KPOINTS))
    np.testing.assert_allclose(found[0], window_of(filled, rule), atol=TOLERANCE_EV, rtol=0)


def touching(turn: NDArray[Any]) -> tuple[Pairs, RealSpace]:
    """An atom whose s and p hop to each other: two bands ``+-|sin(2 pi k_x)|`` that touch by symmetry, in the basis of a rotation.

    Two electrons fill the lower one; the Fermi level is where they touch.
    """
    crystal = Crystal(np.eye(3), np.array([2], np.int32), np.zeros((1, 3)))
    pairs = find_pairs(crystal)
    blocks = torch.zeros(len(pairs.lattice_vectors), 9, 9).double()
    blocks[len(blocks) // 2] = torch.diag(torch.tensor([0.0, 0.0, *(20.0 + i for i in range(7))])).double()
    for cell, vector in enumerate(pairs.lattice_vectors.tolist()):
        if vector in ([1, 0, 0], [-1, 0, 0]):
            blocks[cell, 0, 1], blocks[cell, 1, 0] = -0.5 * vector[0], 0.5 * vector[0]
    turned = torch.from_numpy(turn) @ blocks @ torch.from_numpy(turn.T)
    return pairs, RealSpace(turned, torch.from_numpy(pairs.lattice_vectors).double(), torch.zeros(0).double())


def test_bands_that_touch_by_symmetry_are_a_metal_however_rounding_goes() -> None:
    kpoints, rule = np.concatenate([np.zeros((1, 3)), KPOINTS[1:]]), BandRule(n_bands=2, n_valence=1, metal_tolerance_ev=0.01)
    rng = np.random.default_rng(0)
    turns = [np.eye(9), *(np.linalg.qr(rng.normal(size=(9, 9)))[0] for _ in range(12))]
    given = [touching(turn) for turn in turns]
    upper = np.abs(np.sin(2 * np.pi * kpoints[:, 0]))
    [found, _] = run(engine(rule), batch_of(given, kpoints))
    for (pairs, real_space), in_graph in zip(given, found, strict=True):
        filled = fill(pairs, real_space, kpoints)
        assert filled.is_metal
        assert filled.n_nonempty == KEPT
        for energies in (filled.window(rule), in_graph):
            np.testing.assert_allclose(energies, [-upper, upper], atol=TOLERANCE_EV, rtol=0)
            gap, is_metal = gaps(energies, rule)
            assert (float(gap), bool(is_metal)) == (0.0, True)


@pytest.mark.parametrize("n_bands", [12, 40])
def test_of_many_bands_those_are_no_numbers_that_a_crystal_has_not(n_bands: int) -> None:
    """More are solved for, since the window moves up by as many as cross the zero."""
    rule = BandRule().widened(n_bands)
    crystals = (SILICON, ALUMINIUM, SALT, HELIUM)
    given = [hamiltonian_of(crystal) for crystal in crystals]
    found, _ = run(engine(rule), batch_of(given, KPOINTS))
    for energies, (pairs, real_space) in zip(found[:3], given, strict=False):
        expected = every_band(pairs, real_space).given(rule)
        assert np.isfinite(expected[rule.window]).all()
        np.testing.assert_allclose(energies, expected, atol=TOLERANCE_EV, rtol=0)
    assert np.isnan(found[0]).any()  # it has four valence bands
    assert np.isnan(found[3]).all()  # helium has not even six


def test_a_crystal_without_enough_bands_is_no_number_and_harms_no_other() -> None:
    """Helium has one filled band, and six bands need three."""
    given = [hamiltonian_of(HELIUM), hamiltonian_of(SILICON)]
    found, _ = run(engine(), batch_of(given, KPOINTS))
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1], fill(*given[1], KPOINTS).window(BandRule()), atol=TOLERANCE_EV, rtol=0)


@pytest.mark.parametrize("share", [0.0, 1.0, 1.5])
def test_electrons_that_fill_no_band_or_all_make_no_window(share: float) -> None:
    pairs, real_space = hamiltonian_of(ALUMINIUM)
    batch = batch_of([(pairs, real_space)], KPOINTS)
    batch[f"{GIVEN}electrons"][:] = share * 2 * pairs.n_bands
    assert np.isnan(run(engine(BandRule(n_bands=2, n_valence=1)), batch)[0]).all()


def test_padding_changes_nothing() -> None:
    given = [hamiltonian_of(crystal) for crystal in (ALUMINIUM, SILICON)]
    alone = np.concatenate([run(engine(), batch_of([one], KPOINTS))[0] for one in given])
    n_slots = batch_of(given, KPOINTS)["neighbor_index"].shape[2]
    padded, _ = run(engine(), batch_of(given, KPOINTS, sizes={"B": 4, "N": 5, "D": n_slots + 3, "M": 130}))
    np.testing.assert_allclose(padded[:2], alone, atol=ROUNDING_EV, rtol=0)
    assert np.isfinite(padded).all(), "what means nothing is finite"


def test_some_matrices_at_a_time_give_what_all_at_once_do(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batch_of([hamiltonian_of(crystal) for crystal in (SALT, TRICLINIC)], KPOINTS)
    whole = run(engine(), batch)[0]
    for held in (1, 10**5):  # one at a time, and a number that does not divide theirs
        monkeypatch.setattr(bandrt_export.eigensolver.bands, "HELD", held)
        some = run(with_solver(network(), manifest_of(len(KPOINTS))), batch)[0]
        np.testing.assert_allclose(some, whole, atol=ROUNDING_EV, rtol=0)


def test_uncertainty_goes_through_and_the_hamiltonian_stays_within() -> None:
    proto = engine()
    assert [one.name for one in proto.graph.output] == ["band_energies", "uncertainty_ev"]
    made = {name for node in proto.graph.node for name in node.output}
    assert set(HAMILTONIAN_NAMES) <= made
    batch = batch_of([hamiltonian_of(SILICON)], KPOINTS)
    batch[f"{GIVEN}uncertainty_ev"][:] = 0.125
    assert run(proto, batch)[1] == pytest.approx([0.125])
    assert [one.name for one in proto.graph.input] == list(manifest_of(11).inputs)


def test_the_graph_is_plain_and_says_nothing_of_where_it_was_made() -> None:
    proto = engine()
    onnx.checker.check_model(proto, full_check=True)
    text = str(proto)
    assert str(Path(__file__).parents[3]) not in text
    assert not any(kind in text for kind in ("COMPLEX", "DOUBLE", "FLOAT16"))
    assert {one.domain for one in proto.opset_import} == {""}
    assert proto.ByteSize() < 200_000


@pytest.fixture(scope="module")
def rtx() -> Any:
    return pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed: pip install 'bandrt[tensorrt-rtx]'")


def test_tensorrt_rtx_reads_it_with_all_products_of_its_loops(rtx: Any, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(engine().SerializeToString())
    builder = PlanBuilder("tensorrt-rtx", NoDriver("none is needed"))
    n_products, n_half = builder.products(builder.parse(model))
    assert n_products > 10
    check_precision((n_products, n_half), model, "fp32")
    with pytest.raises(ExportError, match="matrix products"):
        check_precision((n_products - 1, n_half), model, "fp32")


@pytest.mark.slow
def test_tensorrt_rtx_builds_it_without_a_gpu(rtx: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest = replace(manifest_of(256, overlap=True), inputs=INPUT_NAMES)
    proto = with_solver(network_of_the_contract(hamiltonian_given(manifest)), manifest)
    proto.metadata_props.add(key=METADATA_KEY, value=manifest.to_json())
    model, plan = tmp_path / "model.onnx", tmp_path / "model.plan"
    model.write_bytes(with_checksum(proto.SerializeToString()))
    start = perf_counter()
    with caplog.at_level(logging.INFO, logger="bandrt_export"):
        built = build_plan(model, plan, backend="tensorrt-rtx", targets=["sm89"], max_atoms=16, max_batch=64)
    print(f"{plan.stat().st_size / 1e6:.1f} MB in {perf_counter() - start:.0f} s")
    assert built.profile.max_slots == MOST_BONDS
    small, large = built.profile.buckets  # single crystals have none of their own: their k-points are a batch
    assert (small.min_batch, small.max_batch, small.max_atoms, large.max_atoms) == (1, 16, 8, 16)
    for bucket in (small, large):
        assert bucket.scratch_bytes is not None
        assert 64 * 2**20 < bucket.scratch_bytes < 1.5e9
        assert f"of {bucket.min_atoms} to {bucket.max_atoms} atoms: up to {bucket.scratch_bytes / 1e6:.0f} MB" in caplog.text
    assert read_manifest(plan) == built


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone says how much memory a process has held")
@pytest.mark.parametrize("centred", [False, True], ids=["complex", "real"])
@pytest.mark.parametrize("overlap", [False, True], ids=["orthogonal", "overlapping"])
@pytest.mark.parametrize(("n_atoms", "n_crystals"), [(4, 2), (8, 1), (16, 1)])
def test_memory_is_what_the_runtime_expects(n_atoms: int, n_crystals: int, centred: bool, overlap: bool, tmp_path: Path) -> None:
    """The largest has more matrices than are held at once; random blocks take as much memory as others."""
    rng, n_kpoints = np.random.default_rng(0), 300
    sizes = {"B": n_crystals, "N": n_atoms, "D": 48, "K": n_kpoints, "M": 100}
    batch: dict[str, NDArray[Any]] = {name: TENSORS[name].padded(sizes) for name in SOLVER_INPUTS}
    batch["neighbor_index"][:] = rng.integers(0, n_atoms, batch["neighbor_index"].shape)
    batch["kpoints"][:] = rng.uniform(-0.5, 0.5, batch["kpoints"].shape)
    manifest = manifest_of(n_kpoints, centred=centred, overlap=overlap)
    tensors = hamiltonian_given(manifest)
    batch |= {GIVEN + one.name: rng.normal(size=one.axes(sizes)).astype(one.dtype) for one in tensors}
    if centred:
        batch["inversion_partner"] = np.tile(np.arange(n_atoms, dtype=np.int32)[::-1], (n_crystals, 1))
        batch["inversion_image"] = np.ones((n_crystals, n_atoms, 3), np.int32)
    model = with_solver(network(tensors), manifest)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    np.savez(tmp_path / "batch.npz", **batch)
    done = subprocess.run([sys.executable, "-c", HELD_BY_A_RUN], cwd=tmp_path, capture_output=True, text=True, check=True)
    expected = solver_bytes(n_atoms, n_crystals * (n_kpoints + 100))
    assert 0.5 * expected < int(done.stdout) < 1.25 * expected
