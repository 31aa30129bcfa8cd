"""Routes: crystals of some elements are featurised for, and predicted by, another engine, and say so; nothing else changes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bandrt
from bandrt.bands.on_path import Energies
from bandrt.cli import run as command
from bandrt.domain import is_handed_over, little_known
from bandrt.engine import SHIPPED_ENGINES, read_manifest
from bandrt.errors import ArgumentError, BandrtError, EngineError, InputError
from bandrt.features import Features
from bandrt.loading import load
from bandrt.manifest import BandRule, HandOver, Manifest, TrainingDomain
from bandrt.predict import Engine
from bandrt.recipe import GraphRecipe, KpathRecipe, Recipe
from bandrt.results import writer
from bandrt.results.prediction import Failure, Prediction, Ticket
from bandrt.results.store import read, read_errors
from bandrt.routes import other_device, other_engine, taken_over
from bandrt.run.dry_run import dry_run
from bandrt.run.infer import InferOptions, infer
from bandrt.run.report import RunReport
from tests.support.predicted_crystals import METAL, predicted

RULE = HandOver(elements=("Fe", "U"), engine="fast")
RECIPE = Recipe(graph=GraphRecipe(n_neighbors=12), kpath=KpathRecipe(n_kpoints=256))
"""Other neighbours than those of the engine ``fast``, and as many k-points."""
SALTS = (("Na", "Cl"), ("Fe", "O"), ("Ga", "As"), ("U", "N"), ("Na", "Cl"), ("Pb", "Te"), ("Fe", "S"))


@pytest.fixture(scope="module")
def handing(make_engine: Callable[..., Path]) -> Path:
    """A tiny engine that leaves iron and uranium to the engine ``fast``."""
    return make_engine(hand_over=RULE, recipe=RECIPE, outputs=("band_energies", "uncertainty_ev"))


@pytest.fixture(scope="module")
def engine(handing: Path) -> Iterator[Engine]:
    with load(handing, threads=1) as engine:
        yield engine


@pytest.fixture
def folder(tmp_path: Path, rock_salt: Callable[..., str]) -> Path:
    """Crystals for either engine in turn, and two files that are none."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(28):
        first, second = SALTS[number % len(SALTS)]
        (folder / f"s{number:02d}.cif").write_text(rock_salt(a=3.3 + 0.01 * number, first=first, second=second))
    (folder / "s05b.cif").write_text("no crystal")
    (folder / "s12b.cif").write_text(rock_salt(first="Fe", second="O", occupancy=0.5))
    return folder


def is_left(name: str) -> bool:
    return not {"Fe", "U"}.isdisjoint(SALTS[int(name[1:3]) % len(SALTS)])


def alone(path: Path | str, items: list[Path], **choices: Any) -> dict[str, Prediction]:
    """What an engine says of crystals one by one, by their names."""
    with load(path, threads=1, **choices) as engine:
        found = [next(iter(engine.predict(item))) for item in items]
    return {one.id: one for one in found if isinstance(one, Prediction)}


def energies_as_handed_over(one: Prediction) -> Energies:
    """Energies of the engine ``fast`` as they stand in the results of another one."""
    bands = one.band_structure
    mid_gap = 0.5 * (float(bands.energies[:3].max()) + float(bands.energies[3:].min()))
    return bands.energies if bands.is_metal else bands.energies - np.float32(mid_gap)


def test_each_crystal_is_predicted_by_its_own_engine_to_the_last_bit(handing: Path, folder: Path) -> None:
    crystals = sorted(path for path in folder.iterdir() if len(path.stem) == 3)
    routed = alone(handing, crystals)
    own = alone(handing, [path for path in crystals if not is_left(path.stem)], hand_over=False)
    others = alone("fast", [path for path in crystals if is_left(path.stem)])
    assert list(routed) == [path.stem for path in crystals]
    assert len(own) == 16
    assert own.keys() | others.keys() == routed.keys()
    for name, expected in (own | others).items():
        found, warned = routed[name], ("handed-over:fast",) if name in others else ()
        energies = energies_as_handed_over(expected) if name in others else expected.band_structure.energies
        assert found.band_structure.energies.tobytes() == energies.tobytes()
        np.testing.assert_equal(found.uncertainty_ev, expected.uncertainty_ev)
        assert found.warnings == (*warned, *expected.warnings)
        assert found.band_structure.rule == read_manifest(handing).bands


def test_an_insulator_stays_one_under_the_tolerance_of_the_engine_that_hands_over(handing: Path) -> None:
    """Its valence band reaches 0.05 eV beyond zero: within the tolerance of the other engine, beyond that of this one."""
    other = predicted("a", METAL, gap=1.0, doped=0.55)
    manifest = dataclasses.replace(read_manifest(handing), bands=BandRule(metal_tolerance_ev=0.01))
    found = taken_over(other, manifest)
    assert isinstance(found, Prediction)
    before, after = other.band_structure, found.band_structure
    assert (before.rule.metal_tolerance_ev, after.rule.metal_tolerance_ev) == (0.1, 0.01)
    assert dataclasses.replace(before, rule=after.rule).is_metal, "by its rule alone it would be"
    assert after.band_gap == pytest.approx(before.band_gap, abs=1e-6)
    assert after.efermi == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(np.diff(after.energies, axis=0), np.diff(before.energies, axis=0), atol=1e-6)


def test_a_metal_stays_one_unless_the_engine_that_hands_over_tolerates_more(handing: Path) -> None:
    other = predicted("a", METAL, gap=1.0, doped=0.65)  # crosses zero by 0.15 eV
    for tolerance, is_metal in ((0.01, True), (0.1, True), (0.2, False)):
        found = taken_over(other, dataclasses.replace(read_manifest(handing), bands=BandRule(metal_tolerance_ev=tolerance)))
        assert isinstance(found, Prediction)
        assert found.band_structure.is_metal is is_metal
        assert found.band_structure.energies.tobytes() == other.band_structure.energies.tobytes()


def test_results_keep_their_order_and_failures_their_places(engine: Engine, folder: Path) -> None:
    paths = sorted(folder.iterdir())
    for batch_size in (1, 3):
        results = list(engine.predict(paths, batch_size=batch_size))
        assert [one.id for one in results] == [path.stem for path in paths]
        assert {one.id: one.code for one in results if isinstance(one, Failure)} == {
            "s05b": "not-a-crystal", "s12b": "partial-occupancy"
        }  # fmt: skip
        for one in results:
            if isinstance(one, Prediction):
                assert is_handed_over(one.warnings) is is_left(one.id)


def test_features_are_those_of_the_engine_that_predicts(engine: Engine, folder: Path) -> None:
    salt, oxide = engine.featurize([folder / "s00.cif", folder / "s01.cif"])
    assert isinstance(salt, Features)
    assert isinstance(oxide, Features)
    expected = bandrt.featurize(folder / "s01.cif", read_manifest(SHIPPED_ENGINES["fast"]).recipe)
    np.testing.assert_array_equal(oxide.neighbor_distance, expected.neighbor_distance)
    np.testing.assert_array_equal(salt.neighbor_distance, bandrt.featurize(folder / "s00.cif", RECIPE).neighbor_distance)
    with pytest.raises(ValueError, match="two engines"):
        list(engine.run_many([[(Ticket(0, "a", ""), salt), (Ticket(1, "b", ""), oxide)]]))


def test_sizes_are_those_of_the_engine_that_predicts(
    make_engine: Callable[..., Path], rock_salt: Callable[..., str], engine: Engine
) -> None:
    profile = dataclasses.replace(engine.manifest.profile, max_atoms=1)
    with load(make_engine(hand_over=RULE, recipe=RECIPE, profile=profile), threads=1) as small:
        oxide, salt = small.featurize([rock_salt(first="Fe", second="O"), rock_salt()])
        assert isinstance(oxide, Features)
        assert isinstance(salt, InputError)
        assert salt.code == "too-many-atoms"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_makes_the_batches_that_each_engine_would_make_alone(
    handing: Path, tmp_path: Path, folder: Path, workers: int
) -> None:
    out = tmp_path / "out"
    options = InferOptions(engine=handing, threads=1, batch_size=3, workers=workers)
    report = infer(folder, out, options)
    assert (report.predicted, report.total_failed, report.warning_codes["handed-over"]) == (28, 2, 12)
    found = {one.id: one for one in read(out)}
    assert list(found) == sorted(found)
    for name, choices in (("fast", {"engine": SHIPPED_ENGINES["fast"]}), ("own", {"hand_over": False})):
        share = tmp_path / name
        share.mkdir()
        for path in folder.glob("s??.cif"):
            if is_left(path.stem) is (name == "fast"):
                (share / path.name).write_bytes(path.read_bytes())
        infer(share, tmp_path / f"{name}-out", dataclasses.replace(options, **choices))
        for one in read(tmp_path / f"{name}-out"):
            energies = energies_as_handed_over(one) if name == "fast" else one.band_structure.energies
            assert found[one.id].band_structure.energies.tobytes() == energies.tobytes()
            np.testing.assert_equal(found[one.id].uncertainty_ev, one.uncertainty_ev)
            warned = ("handed-over:fast",) if name == "fast" else ()
            assert found[one.id].warnings == (*warned, *one.warnings)
    lines = (out / "summary.csv").read_text().splitlines()
    assert sum("handed-over:fast" in line for line in lines) == 12


def test_a_run_that_was_stopped_is_gone_on_with_to_the_same_bytes(
    handing: Path, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PART_CRYSTALS", 3)
    options = InferOptions(engine=handing, threads=1, batch_size=3, workers=0)

    def fall(report: RunReport) -> None:
        if report.predicted >= 7:
            raise RuntimeError("the machine falls")

    out, fresh = tmp_path / "out", tmp_path / "fresh"
    with pytest.raises(RuntimeError, match="falls"):
        infer(folder, out, options, on_progress=fall)
    n_before = len(list(read(out)))
    report = infer(folder, out, dataclasses.replace(options, mode="resume"))
    infer(folder, fresh, options)
    assert 0 < n_before < report.total_predicted == 28
    assert (out / "summary.csv").read_bytes() == (fresh / "summary.csv").read_bytes()
    assert read_errors(out) == read_errors(fresh)
    for one, other in zip(read(out), read(fresh), strict=True):
        assert (one.id, one.band_structure.energies.tobytes()) == (other.id, other.band_structure.energies.tobytes())


def test_both_engines_are_recorded_and_neither_may_change(handing: Path, tmp_path: Path, folder: Path) -> None:
    out = tmp_path / "out"
    options = InferOptions(engine=handing, threads=1, batch_size=4, workers=0)
    infer(folder, out, options)
    engine = json.loads((out / "run.json").read_text())["engine"]
    other = engine["hand_over"]
    with load("fast", threads=1) as fast:
        assert (other["name"], other["sha256"], other["elements"]) == ("fast", fast.sha256, ["Fe", "U"])
    assert {failure.engine_sha256 for failure in read_errors(out)} == {f"{engine['sha256']}+{other['sha256']}"}
    again = dataclasses.replace(options, mode="resume")
    assert dry_run(folder, out, again)["batch_size"] == 4
    assert infer(folder, out, again).skipped == 30
    with pytest.raises(BandrtError, match=r"hand_over was fast \([0-9a-f]{12}\) and is 'none'") as caught:
        infer(folder, out, dataclasses.replace(again, hand_over=False))
    assert (caught.value.code, caught.value.exit_code) == ("engine-differs", 2)
    (out / "run.json").unlink()
    (out / "run.json").write_text(json.dumps({"bandrt_version": "0"}))
    with pytest.raises(BandrtError, match=rf"another engine \({engine['sha256'][:12]}\+{other['sha256'][:12]}, this") as caught:
        infer(folder, out, dataclasses.replace(again, hand_over=False))
    assert caught.value.code == "engine-differs"


def test_a_dry_run_and_the_command_say_so(handing: Path, tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = InferOptions(engine=handing)
    assert dry_run(folder, tmp_path / "out", options)["hand_over"] == "fast (Fe U)"
    assert "hand_over" not in dry_run(folder, tmp_path / "out", dataclasses.replace(options, hand_over=False))
    assert command(["infer", str(folder), "-o", str(tmp_path / "out"), "--engine", str(handing), "--no-hand-over", "-q"]) == 3
    assert json.loads((tmp_path / "out" / "run.json").read_text())["engine"]["hand_over"] == "none"
    assert not any(is_handed_over(one.warnings) for one in read(tmp_path / "out"))
    assert command(["inspect", str(handing)]) == 0
    assert "crystals with any of 2: Fe U" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hand_over": HandOver(("Fe",), "swift")}, "only fast, accurate"),
        ({"hand_over": RULE}, "it gives 256 k-points, this engine 64"),
        ({"hand_over": RULE, "recipe": RECIPE, "bands": BandRule(6, 2)}, "it gives 3 valence bands, this engine 2"),
    ],
)
def test_an_engine_that_cannot_hand_over_is_refused_at_once_unless_it_need_not(
    make_engine: Callable[..., Path], changes: dict[str, Any], said: str
) -> None:
    path = make_engine(**changes)
    with pytest.raises(EngineError, match=said) as caught:
        load(path, threads=1)
    assert caught.value.code == "hand-over-unavailable"
    assert "hand_over=False" in caught.value.message
    with load(path, threads=1, hand_over=False) as engine:
        assert engine.hands_over_to is None


def test_an_engine_that_lacks_its_runtime_is_refused_at_once(handing: Path, tmp_path: Path) -> None:
    manifest = read_manifest(handing)
    with pytest.raises(EngineError, match="there is no such model file") as caught:
        other_engine(handing, manifest, {"fast": tmp_path / "gone.onnx"})
    assert caught.value.code == "hand-over-unavailable"
    assert (other_device(Path("a.plan"), "cuda:1"), other_device(Path("a.onnx"), "cuda:1")) == (None, "cuda:1")


def test_an_engine_without_an_estimate_gives_none_for_any_crystal(
    make_engine: Callable[..., Path], rock_salt: Callable[..., str], tmp_path: Path
) -> None:
    with load(make_engine(hand_over=RULE, recipe=RECIPE), threads=1) as engine:
        for first in ("Na", "Fe"):
            result = next(iter(engine.predict(rock_salt(first=first, second="O"))))
            assert isinstance(result, Prediction)
            assert result.uncertainty_ev is None


def test_elements_without_bands_and_those_with_moments_are_little_known() -> None:
    training = TrainingDomain(n_crystals=2, elements=("H", "O", "Fe"), max_atoms=3)
    assert little_known(training, 10) == ("He", "Li", "Be", "B", "C", "N", "F", "Ne")
    assert little_known(TrainingDomain(), 118) == ("V", "Cr", "Mn", "Fe", "Co", "Ni")


def test_a_rule_is_checked_and_written_with_the_manifest(handing: Path) -> None:
    manifest = read_manifest(handing)
    assert manifest.hand_over == RULE
    assert Manifest.from_json(manifest.to_json()) == manifest
    for elements, engine in (((), "fast"), (("Fe", "Fe"), "fast"), (("Xx",), "fast"), (("Fe",), "")):
        with pytest.raises(ArgumentError):
            HandOver(elements, engine)


def test_the_accurate_engine_hands_over_what_it_has_seen_no_bands_of() -> None:
    manifest = read_manifest(SHIPPED_ENGINES["accurate"])
    assert manifest.hand_over is not None
    assert manifest.hand_over.engine == "fast"
    assert set(manifest.hand_over.elements) >= {"V", "Cr", "Mn", "Fe", "Co", "Ni", "Th", "U", "Pu"}
    assert not set(manifest.hand_over.elements) & {"Si", "Ti", "Cu", "Gd", "Pb"}
    assert manifest.hand_over.elements == little_known(manifest.training, manifest.recipe.max_atomic_number)
    assert read_manifest(SHIPPED_ENGINES["fast"]).hand_over is None
