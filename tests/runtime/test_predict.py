"""Prediction: anything in, a prediction or a failure out, lazily and in input order."""

from __future__ import annotations

import csv
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import bandrt
from bandrt import Crystal, Failure, Prediction
from bandrt.domain import expected_error, of_filling, warnings
from bandrt.errors import EngineError, InputError
from bandrt.featurized import featurize_inputs
from bandrt.loading import load
from bandrt.manifest import Profile, TrainingDomain
from bandrt.predict import Engine
from bandrt.recipe import Recipe
from bandrt.results.prediction import Ticket
from bandrt.results.summary import COLUMNS
from bandrt.routes import Route
from bandrt.run.infer import InferOptions, infer

ENERGY_TOLERANCE_EV = 1e-5
"""Rounding of single precision for energies of a few eV; batches may add in another order."""


@pytest.fixture(scope="module")
def engine(tiny_engine: Path) -> Iterator[Engine]:
    with load(tiny_engine, threads=1) as engine:
        yield engine


def cubic(a: float, numbers: list[int]) -> Crystal:
    """Atoms on the diagonal of a cube, symmetric enough to be cheap."""
    n = len(numbers)
    return Crystal.checked(a * np.eye(3), numbers, np.arange(n)[:, None] * np.ones(3) / n)


def test_every_kind_of_input_gives_the_same_bands(engine: Engine, tmp_path: Path, rock_salt: Callable[..., str]) -> None:
    path = tmp_path / "salt.cif"
    path.write_text(rock_salt())
    from ase import Atoms
    from pymatgen.core import Structure

    lattice = 3.99 / 2**0.5 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    coords = [[0, 0, 0], [0.5, 0.5, 0.5]]
    items = [
        path,
        str(path),
        rock_salt(),
        Structure(lattice, ["Na", "Cl"], coords),
        Atoms("NaCl", cell=lattice, scaled_positions=coords, pbc=True),
        Crystal.checked(lattice, [11, 17], coords),
    ]
    results = list(engine.predict(items))
    assert [r.id for r in results] == ["salt", "salt-2", "rock_salt", "NaCl", "NaCl-2", "NaCl-3"]
    assert [r.path for r in results] == [str(path), str(path), "", "", "", ""]
    for result in results:
        assert isinstance(result, Prediction)
        np.testing.assert_allclose(result.band_structure.energies, results[0].band_structure.energies, atol=ENERGY_TOLERANCE_EV)


def test_results_come_in_input_order_and_do_not_depend_on_the_batch(engine: Engine) -> None:
    crystals = [cubic(4.0 + 0.1 * i, [11 + j for j in range(1 + i % 5)]) for i in range(23)]
    alone = [next(iter(engine.predict([c]))) for c in crystals]
    for batch_size in (1, 3, 16):
        together = list(engine.predict(crystals, batch_size=batch_size))
        assert len({r.id for r in together}) == 23
        for one, other in zip(alone, together, strict=True):
            assert isinstance(one, Prediction)
            assert isinstance(other, Prediction)
            assert one.crystal.n_atoms == other.crystal.n_atoms
            np.testing.assert_allclose(one.band_structure.energies, other.band_structure.energies, atol=ENERGY_TOLERANCE_EV)


def test_a_saved_batch_is_what_the_model_is_fed(engine: Engine, tmp_path: Path) -> None:
    items = [cubic(5.0, [11, 17]), cubic(6.0, [14, 14, 31])]
    engine.save_batch(items, tmp_path / "deep" / "batch")
    arrays = {path.stem: np.load(path) for path in (tmp_path / "deep" / "batch").iterdir()}
    assert set(arrays) == set(engine.manifest.inputs)
    rows = engine.session.run(arrays)["band_energies"]
    for row, result in zip(rows, engine.predict(items), strict=True):
        assert isinstance(result, Prediction)
        np.testing.assert_allclose(row, result.band_structure.energies, atol=ENERGY_TOLERANCE_EV)


def test_a_batch_is_saved_whole_or_not_at_all(engine: Engine, tmp_path: Path, mixed_folder: Path) -> None:
    with pytest.raises(InputError) as refused:
        engine.save_batch([mixed_folder / "a-salt.cif", mixed_folder / "d-empty.cif"], tmp_path / "batch")
    assert "d-empty.cif" in refused.value.message
    assert not (tmp_path / "batch").exists()
    with pytest.raises(bandrt.ArgumentError, match="at least one crystal"):
        engine.save_batch([], tmp_path / "batch")
    with pytest.raises(bandrt.OutputError) as taken:
        engine.save_batch(mixed_folder / "a-salt.cif", mixed_folder)
    assert taken.value.code == "output-exists"


def test_prediction_is_lazy_and_takes_an_endless_stream(engine: Engine) -> None:
    taken = itertools.count()
    stream = (cubic(4.0, [11]) for _ in taken)
    results = list(itertools.islice(engine.predict(stream, batch_size=2), 5))
    assert len(results) == 5
    assert next(taken) < 40
    assert list(engine.predict([])) == []


def test_one_bad_input_is_a_failure_among_predictions(engine: Engine, mixed_folder: Path) -> None:
    results = {r.id: r for r in engine.predict(sorted(mixed_folder.iterdir()))}
    assert [type(results[i]) for i in ("a-salt", "f-galena", "POSCAR")] == [Prediction] * 3
    failures = {i: r for i, r in results.items() if isinstance(r, Failure)}
    assert {i: r.code for i, r in failures.items()} == {
        "b-truncated": "cif-syntax",
        "c-partial": "partial-occupancy",
        "d-empty": "empty-file",
        "e-text": "not-a-crystal",
    }
    assert all(r.stage == "read" and r.path in r.message for r in failures.values())


def test_a_bug_is_not_a_failure(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("bandrt.routes.featurize_crystals", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        list(engine.predict([cubic(4.0, [11])]))


def test_energies_that_are_not_finite_are_a_failure(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    run = engine.session.run

    def half_broken(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = run(inputs)
        outputs["band_energies"][1] = np.nan
        return outputs

    monkeypatch.setattr(engine.session, "run", half_broken)
    good, bad = engine.predict([cubic(4.0, [11]), cubic(4.5, [11])])
    assert isinstance(good, Prediction)
    assert isinstance(bad, Failure)
    assert (bad.code, bad.stage) == ("non-finite-energies", "predict")


def test_an_engine_that_estimates_its_errors_says_so_of_every_crystal(
    engine: Engine, make_engine: Callable[..., Path], tmp_path: Path
) -> None:
    path = make_engine(outputs=("band_energies", "uncertainty_ev"), training=TrainingDomain())
    crystals = [cubic(4.0, [20]), cubic(3.0, [20])]  # six neighbours, and six of the twelve at sqrt(2) a
    with load(path, threads=1) as estimating:
        results = list(estimating.predict(crystals))
    expected = [(6 * a + 6 * a * 2**0.5) / 12 / 3.0 for a in (4.0, 3.0)]
    for result, plain, uncertainty in zip(results, engine.predict(crystals), expected, strict=True):
        assert isinstance(result, Prediction)
        assert isinstance(plain, Prediction)
        assert result.uncertainty_ev == pytest.approx(uncertainty, rel=1e-6)
        assert plain.uncertainty_ev is None
        np.testing.assert_array_equal(result.band_structure.energies, plain.band_structure.energies)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((), 0.5),
        (("magnetic:Fe", "spin-orbit:Pb"), 0.5),
        (("layered", "spin-orbit:Pb"), 0.75),
        (("chain",), 0.75),
        (("molecular", "close-atoms:H-H"), np.nan),
        (("isolated-atom:He",), np.nan),
        (("odd-electrons",), np.nan),
    ],
)
def test_an_uncertainty_shows_what_the_warnings_say(codes: tuple[str, ...], expected: float) -> None:
    np.testing.assert_equal(expected_error(0.5, codes), expected)


def test_of_lonely_atoms_no_error_is_expected_and_of_layers_a_larger_one(make_engine: Callable[..., Path], tmp_path: Path) -> None:
    path = make_engine(outputs=("band_energies", "uncertainty_ev"), training=TrainingDomain())
    layers = Crystal.checked(np.diag([3.0, 3.0, 7.0]), [20], [[0.0, 0.0, 0.0]])
    with load(path, threads=1) as estimating:
        alone, layered = estimating.predict([cubic(6.0, [20]), layers])
        [row] = estimating._evaluator.run_many([[estimating.featurize(layers)]])
    assert isinstance(alone, Prediction)
    assert isinstance(layered, Prediction)
    assert alone.warnings == ("isolated-atom:Ca",)
    assert alone.uncertainty_ev is not None
    assert np.isnan(alone.uncertainty_ev)
    assert layered.warnings == ("layered",)
    assert layered.uncertainty_ev == pytest.approx(1.5 * float(row[0]["uncertainty_ev"]))


def test_a_summary_has_uncertainties_when_the_engine_has(
    make_engine: Callable[..., Path], tmp_path: Path, rock_salt: Callable[..., str]
) -> None:
    (tmp_path / "salt.cif").write_text(rock_salt())
    for outputs, columns in ((("band_energies",), len(COLUMNS)), (("band_energies", "uncertainty_ev"), len(COLUMNS) + 1)):
        out = tmp_path / str(columns)
        infer([tmp_path / "salt.cif"], out, InferOptions(engine=make_engine(outputs=outputs), workers=1, threads=1))
        [row] = csv.DictReader((out / "summary.csv").read_text().splitlines())
        assert len(row) == columns
        assert float(row.get("uncertainty_ev", 1.0)) > 0.0


def test_a_hamiltonian_with_too_few_bands_is_told_from_one_that_is_not_finite(
    make_engine: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with load(make_engine(variant="hamiltonian", solver="graph"), threads=1) as engine:
        run = engine.session.run
        codes = []
        for value in (np.nan, np.inf):
            energies = np.full((1, 6, 64), value, np.float32)
            monkeypatch.setattr(engine.session, "run", lambda inputs, energies=energies: run(inputs) | {"band_energies": energies})
            [bad] = engine.predict([cubic(4.0, [11])])
            assert isinstance(bad, Failure)
            codes.append((bad.code, bad.stage))
    assert codes == [("too-few-bands", "predict"), ("non-finite-energies", "predict")]


def test_an_uncertainty_that_is_not_finite_is_a_failure(make_engine: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with load(make_engine(outputs=("band_energies", "uncertainty_ev")), threads=1) as engine:
        run = engine.session.run
        monkeypatch.setattr(engine.session, "run", lambda inputs: run(inputs) | {"uncertainty_ev": np.array([np.nan], np.float32)})
        [bad] = engine.predict([cubic(4.0, [11])])
    assert isinstance(bad, Failure)
    assert bad.code == "non-finite-energies"


def test_a_crystal_too_large_for_the_engine_is_a_failure(make_engine: Callable[..., Path]) -> None:
    with load(make_engine(profile=Profile(max_atoms=2))) as engine:
        small, large = engine.predict([cubic(4.0, [11, 17]), cubic(6.0, [11, 17, 19])])
    assert isinstance(small, Prediction)
    assert isinstance(large, Failure)
    assert large.code == "too-many-atoms"
    assert "--max-atoms 3" in large.message


def test_features_and_failures_are_told_apart_in_the_order_of_the_inputs() -> None:
    unreadable = InputError("empty-file", "b.cif: is empty")
    crystals = [cubic(6.0, [11, 17, 19]), unreadable, cubic(4.0, [11, 17]), cubic(4.0, [11])]
    tickets = [
        Ticket(order, name, path) for order, (name, path) in enumerate((("a", ""), ("b", "b.cif"), ("c", ""), ("d", "d.cif")))
    ]
    found = featurize_inputs(tickets, crystals, Route(Recipe(), max_atoms=2))
    assert [ticket.id for ticket, _ in found.features] == ["c", "d"]
    [(first, large), (second, empty)] = found.failures
    assert (first.id, large.code, large.stage) == ("a", "too-many-atoms", "batch")
    assert large.message == ("a: 3 atoms in the primitive cell, this engine holds at most 2; export it again with --max-atoms 3")
    assert (second.id, empty.path, empty.code, empty.stage) == ("b", "b.cif", "empty-file", "read")
    assert len(featurize_inputs(tickets, crystals, Route(Recipe())).features) == 3


def test_bands_are_in_order_at_every_kpoint(engine: Engine) -> None:
    [result] = engine.predict([cubic(4.0, [11])])
    assert isinstance(result, Prediction)
    assert (np.diff(result.band_structure.energies, axis=0) >= 0).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_bands_of_a_prediction_are_its_own_and_keep_no_batch(engine: Engine, sign: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rule, kpath = engine.manifest.bands, engine.manifest.recipe.kpath
    levels = sign * np.arange(rule.n_bands, dtype=np.float32)[None, :, None]  # in order as they come, and not
    batch = np.broadcast_to(levels, (2, rule.n_bands, kpath.n_kpoints)).copy()
    monkeypatch.setattr(engine.session, "run", lambda inputs: {"band_energies": batch})
    for result in engine.predict([cubic(4.0, [11]), cubic(4.5, [11])]):
        assert isinstance(result, Prediction)
        energies = result.band_structure.energies
        np.testing.assert_array_equal(energies, np.sort(batch[0], axis=0))
        assert energies.base is None


def test_a_prediction_stands_on_the_path_of_its_features(engine: Engine) -> None:
    crystal = cubic(4.0, [11, 17])
    features = engine.featurize(crystal)
    [result] = engine.predict([crystal])
    assert isinstance(result, Prediction)
    bands = result.band_structure
    assert bands.labels == features.kpath.labels
    np.testing.assert_array_equal(bands.frac_kpoints, features.kpath.frac_kpoints)
    np.testing.assert_array_equal(result.crystal.lattice, features.crystal.lattice)
    assert bands.rule == engine.manifest.bands


def test_warnings_say_what_the_model_has_not_seen() -> None:
    domain = TrainingDomain(elements=("Na", "Cl", "Pb", "Fe"), max_atoms=2)
    assert warnings(cubic(4.0, [11, 17]), domain) == ()
    assert warnings(cubic(5.0, [26, 82]), domain) == ("magnetic:Fe", "spin-orbit:Pb")
    assert warnings(cubic(7.0, [94, 94, 8]), domain) == (
        "unseen-element:O", "unseen-element:Pu", "more-atoms:3", "magnetic:Pu", "spin-orbit:Pu",
    )  # fmt: skip
    assert warnings(cubic(7.0, [94]), TrainingDomain()) == ("magnetic:Pu", "spin-orbit:Pu")


@pytest.mark.parametrize(
    ("elements", "is_metal", "expected"),
    [
        ([19, 8], False, ("odd-electrons",)),
        ([19, 8], True, ()),
        ([12, 8], False, ()),
        ([19, 19, 8], False, ()),
        ([28, 17], False, ()),  # NiCl: often magnetic, as another warning says
        ([68, 9, 9, 9], False, ()),  # ErF3: 4f electrons in the core
    ],
)
def test_a_gap_where_a_band_is_half_full_is_warned_of(elements: list[int], is_metal: bool, expected: tuple[str, ...]) -> None:
    assert of_filling(cubic(5.0, elements), is_metal=is_metal) == expected


def test_warnings_tell_what_was_seen_in_gaps_alone_from_what_was_never_seen() -> None:
    domain = TrainingDomain(elements=("Cl", "Na"), max_atoms=2, gap_elements=("Br", "Na"), gap_max_atoms=4)
    assert warnings(cubic(4.0, [11, 17]), domain) == ()
    assert warnings(cubic(9.0, [11, 35, 35]), domain) == ("gap-only-element:Br", "gap-only-atoms:3")
    assert warnings(cubic(9.0, [11, 53, 53, 53, 53]), domain) == ("unseen-element:I", "more-atoms:5")


def test_a_missing_engine_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"none\.onnx"):
        bandrt.load(tmp_path / "none.onnx")
    with pytest.raises(EngineError, match="is a folder; name the model file in it"):
        bandrt.load(str(tmp_path))


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, bandrt; print([m for m in ('numpy', 'gemmi', 'onnxruntime', 'click') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    for name in bandrt.__all__:
        assert getattr(bandrt, name) is not None
        assert name in dir(bandrt)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        bandrt.nonsense  # noqa: B018


@pytest.mark.parametrize("scheme", ["latimer_munro", "setyawan_curtarolo"])
def test_a_kpath_is_one_call_away(scheme: str) -> None:
    crystal = cubic(4.0, [11])
    path = bandrt.kpath(crystal, scheme=scheme, n_kpoints=50)
    assert (path.scheme, path.frac_kpoints.shape) == (scheme, (50, 3))
    features = bandrt.featurize(crystal)
    np.testing.assert_array_equal(bandrt.kpath(crystal).frac_kpoints, features.kpath.frac_kpoints)


def test_what_is_doubtful_about_the_crystal_itself_is_among_the_warnings(engine: Engine, tmp_path: Path) -> None:
    layer = Crystal.checked(np.diag([1.5, 1.5, 20.0]), [6], [[0, 0, 0]])
    solid = Crystal.checked(1.6 * np.eye(3), [6], [[0, 0, 0]])
    layered, dense = engine.predict([layer, solid])
    assert isinstance(layered, Prediction)
    assert isinstance(dense, Prediction)
    assert "layered" in layered.warnings
    assert "layered" not in dense.warnings
    (tmp_path / "layer.vasp").write_text("layer\n1\n1.5 0 0\n0 1.5 0\n0 0 20\nC\n1\nDirect\n0 0 0\n")
    report = infer(tmp_path / "layer.vasp", tmp_path / "out", InferOptions(engine=engine.path, threads=1))
    assert report.warning_codes["layered"] == 1
    with (tmp_path / "out" / "summary.csv").open(newline="") as file:
        assert "layered" in next(csv.DictReader(file))["warnings"].split(";")
