"""Results on disk: what is written is what is read, and nothing damaged is believed."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bandrt.bands.band_structure import BandStructure
from bandrt.bands.figures import FIGURE_FORMATS
from bandrt.bands.plot import save
from bandrt.crystal import Crystal
from bandrt.errors import ArgumentError, OutputError
from bandrt.manifest import BandRule
from bandrt.results import writer as store_module
from bandrt.results.damage import BadPartError
from bandrt.results.parts import read_part
from bandrt.results.prediction import Failure, Prediction, Ticket
from bandrt.results.store import Mode, read, read_errors, read_one, read_run
from bandrt.results.summary import COLUMNS
from bandrt.results.writer import Store

ENGINE = "e" * 64


def prediction(
    name: str, *, gap: float = 1.0, n_atoms: int = 2, warnings: tuple[str, ...] = (), uncertainty: float | None = None
) -> Prediction:
    generator = np.random.default_rng(sum(name.encode()))
    n_kpoints = 16
    wave = generator.uniform(0, 0.1, (6, n_kpoints))
    energies = np.array([-3, -2, -gap / 2, gap / 2, 2, 3])[:, None] + wave * np.array([1, 1, -1, 1, 1, 1])[:, None]
    labels = ("Γ", "X", "U_1", "Γ") if n_atoms == 2 else ("Γ", "X", "Γ")
    bands = BandStructure(
        energies=energies.astype(np.float32),
        frac_kpoints=generator.random((n_kpoints, 3)),
        kpoint_distance=np.linspace(0, 3, n_kpoints),
        labels=labels,
        label_indices=np.linspace(0, n_kpoints - 1, len(labels)).astype(np.int64),
        crystal=Crystal(
            generator.random((3, 3)) + 9 * np.eye(3),
            generator.integers(1, 90, n_atoms).astype(np.int32),
            generator.random((n_atoms, 3)),
        ),
        space_group=225,
        space_group_symbol="Fm-3m",
        scheme="latimer_munro",
        rule=BandRule(metal_tolerance_ev=0.07),
    )
    return Prediction(name, f"somewhere/{name}.cif", bands, warnings, uncertainty)


def failure(name: str) -> Failure:
    return Failure(name, f"somewhere/{name}.cif", "read", "cif-syntax", "it is cut short, at Å", "", ENGINE)


def ticket(name: str, order: int = 0, *, sha256: str = "", folder: str = "somewhere") -> Ticket:
    return Ticket(order, name, f"{folder}/{name}.cif", (), sha256)


def done(store: Store, names: str = "abcdefx") -> set[str]:
    """The inputs that a store has results of."""
    return {name for order, name in enumerate(names) if store.kept(ticket(name, order)) is not None}


def opened(folder: Path, mode: Mode = "new", *, engine: str = ENGINE, retry_failed: bool = False) -> Store:
    store = Store(folder, engine_sha256=engine, mode=mode, retry_failed=retry_failed)
    store.write_run({"bandrt_version": "test"})
    return store


def fill(folder: Path, names: Sequence[str], *, mode: Mode = "new") -> None:
    with opened(folder, mode) as store:
        for order, name in enumerate(names):
            store.add(Ticket(order, name, ""), prediction(name))


def summary_ids(folder: Path) -> list[str]:
    with (folder / "summary.csv").open(encoding="utf-8", newline="") as file:
        return [row["id"] for row in csv.DictReader(file)]


def refused(code: str, folder: Path, mode: Mode, **options: str) -> None:
    with pytest.raises(OutputError) as caught:
        opened(folder, mode, **options)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    given = [prediction("a", warnings=("magnetic:Fe", "spin-orbit:Pb")), prediction("Ö/ü", n_atoms=5), prediction("m", gap=-1.0)]
    with opened(tmp_path) as store:
        for order, one in enumerate(given):
            store.add(Ticket(order, one.id, one.path), one)
    for ours, theirs in zip(given, read(tmp_path), strict=True):
        assert (ours.id, ours.path, ours.warnings) == (theirs.id, theirs.path, theirs.warnings)
        for field in dataclasses.fields(BandStructure):
            a, b = getattr(ours.band_structure, field.name), getattr(theirs.band_structure, field.name)
            if field.name == "crystal":
                for name in ("lattice", "atomic_numbers", "frac_coords"):
                    np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
            elif isinstance(a, np.ndarray):
                np.testing.assert_array_equal(a, b)
                assert a.dtype == b.dtype
            else:
                assert a == b
    np.testing.assert_array_equal(read_one(tmp_path, "Ö/ü").energies, given[1].band_structure.energies)


def test_uncertainties_are_kept_and_stand_last_in_the_summary(tmp_path: Path) -> None:
    given = [prediction("a", uncertainty=0.25), prediction("m", gap=-1.0, uncertainty=1.5)]
    with Store(tmp_path, engine_sha256=ENGINE, uncertainty=True) as store:
        store.write_run({})
        for order, one in enumerate(given):
            store.add(Ticket(order, one.id, one.path), one)
    assert [p.uncertainty_ev for p in read(tmp_path)] == [0.25, 1.5]
    before = (tmp_path / "summary.csv").read_bytes()
    rows = list(csv.DictReader(before.decode().splitlines()))
    assert tuple(rows[0]) == (*COLUMNS, "uncertainty_ev")
    assert [row["uncertainty_ev"] for row in rows] == ["0.250000", "1.500000"]
    with Store(tmp_path, engine_sha256=ENGINE, mode="resume", uncertainty=True):
        pass
    assert (tmp_path / "summary.csv").read_bytes() == before


def test_that_no_error_can_be_expected_is_a_result_like_any(tmp_path: Path) -> None:
    given = prediction("lonely", uncertainty=float("nan"))
    with Store(tmp_path, engine_sha256=ENGINE, uncertainty=True) as store:
        store.write_run({})
        store.add(Ticket(0, given.id, given.path), given)
    [found] = read(tmp_path)
    assert found.uncertainty_ev is not None
    assert np.isnan(found.uncertainty_ev)
    [row] = csv.DictReader((tmp_path / "summary.csv").read_text().splitlines())
    assert row["uncertainty_ev"] == "nan"
    with pytest.raises(ArgumentError, match="uncertainty_ev is inf"):
        prediction("endless", uncertainty=float("inf"))


def test_a_part_whose_uncertainties_are_cut_short_is_damaged(tmp_path: Path) -> None:
    with Store(tmp_path, engine_sha256=ENGINE, uncertainty=True) as store:
        for name in "ab":
            store.add(Ticket(0, name, ""), prediction(name, uncertainty=0.5))
    path = tmp_path / "parts" / "part-00000.npz"
    with np.load(path) as part:
        arrays = dict(part)
    np.savez(path, **(arrays | {"uncertainty_ev": arrays["uncertainty_ev"][:1]}))
    with pytest.raises(BadPartError, match="different lengths"):
        list(read_part(path))


def test_parts_hold_no_pickles_and_the_arrays_of_the_design(tmp_path: Path) -> None:
    fill(tmp_path, "ab")
    with np.load(tmp_path / "parts" / "part-00000.npz", allow_pickle=False) as part:
        assert (part["id"].tobytes(), part["id_offsets"].tolist()) == (b"ab", [0, 1, 2])
        assert part["energies"].shape == (2, 6, 16)
        assert part["energies"].dtype == np.float32
        assert part["frac_kpoints"].shape == (2, 16, 3)
        assert part["kpoint_distance"].shape == (2, 16)
        assert part["labels"].tolist()[0] == ["Γ", "X", "U_1", "Γ"]
        assert part["label_indices"].tolist()[0] == [0, 5, 10, 15]


def test_the_summary_says_what_the_bands_say(tmp_path: Path) -> None:
    insulator, metal = prediction("i", warnings=("magnetic:Fe",)), prediction("m", gap=-1.0)
    with opened(tmp_path) as store:
        store.add(Ticket(0, "i", ""), insulator)
        store.add(Ticket(1, "m", ""), metal)
    with (tmp_path / "summary.csv").open(encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert tuple(first) == COLUMNS
    assert float(first["band_gap_ev"]) == pytest.approx(insulator.band_structure.band_gap, abs=1e-6)
    assert float(first["cbm_ev"]) - float(first["vbm_ev"]) == pytest.approx(float(first["band_gap_ev"]), abs=2e-6)
    assert (first["is_metal"], first["warnings"], first["space_group"], first["n_atoms"]) == ("false", "magnetic:Fe", "225", "2")
    assert (second["is_metal"], second["band_gap_ev"], second["vbm_ev"], second["cbm_ev"]) == ("true", "0.000000", "", "")


def test_a_part_is_in_input_order_however_results_came(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for order, name in ((2, "c"), (0, "a"), (1, "b")):
            store.add(Ticket(order, name, ""), prediction(name))
    assert summary_ids(tmp_path) == ["a", "b", "c"]


def test_parts_are_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "PART_CRYSTALS", 2)
    fill(tmp_path, "abcde")
    assert [p.name for p in sorted((tmp_path / "parts").iterdir())] == [f"part-0000{i}.npz" for i in range(3)]
    assert [p.id for p in read(tmp_path)] == list("abcde")


def test_a_slow_run_is_written_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "PART_SECONDS", -1.0)
    with opened(tmp_path) as store:
        store.add(Ticket(0, "a", ""), prediction("a"))
        assert [p.id for p in read(tmp_path)] == ["a"]


def test_failures_are_on_disk_at_once(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.fail(ticket("x", 9), failure("x"))
        assert read_errors(tmp_path) == [failure("x")]
        assert store.failure_codes == {"cif-syntax": 1}


def test_resuming_skips_what_is_done(tmp_path: Path) -> None:
    fill(tmp_path, "ab")
    with opened(tmp_path, "resume") as store:
        store.fail(ticket("x", 9), failure("x"))
        assert done(store) == {"a", "b"}
    with opened(tmp_path, "resume") as store:
        assert done(store) == {"a", "b", "x"}
        assert (store.n_predicted, store.failure_codes.total()) == (2, 1)
        store.add(Ticket(2, "c", ""), prediction("c"))
    assert summary_ids(tmp_path) == ["a", "b", "c"]
    with opened(tmp_path, "resume", retry_failed=True) as store:
        assert done(store) == {"a", "b", "c"}
    assert read_errors(tmp_path) == []


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign"])
def test_a_damaged_part_is_discarded_and_its_crystals_are_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(store_module, "PART_CRYSTALS", 2)
    fill(tmp_path, "abcdef")
    part = tmp_path / "parts" / "part-00001.npz"
    content = bytearray(part.read_bytes())
    if damage == "flipped":
        content[len(content) // 3] ^= 0xFF
    changed = {"truncated": content[: len(content) // 2], "flipped": content, "empty": b"", "foreign": b"PK\x03\x04 not an archive"}
    part.write_bytes(changed[damage])
    with pytest.raises(BadPartError):
        list(read_part(part))
    with pytest.raises(OutputError, match="--resume"):
        list(read(tmp_path))
    with opened(tmp_path, "resume") as store:
        assert done(store) == set("abef")
        assert summary_ids(tmp_path) == list("abef")
        store.add(Ticket(2, "c", ""), prediction("c"))
        store.add(Ticket(3, "d", ""), prediction("d"))
    assert sorted(p.id for p in read(tmp_path)) == list("abcdef")


def test_every_cut_of_a_part_is_noticed(tmp_path: Path) -> None:
    fill(tmp_path, "ab")
    part = tmp_path / "parts" / "part-00000.npz"
    whole = part.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        part.write_bytes(whole[:length])
        with pytest.raises(BadPartError):
            list(read_part(part))


def test_a_summary_that_a_kill_left_behind_is_made_again_from_the_parts(tmp_path: Path) -> None:
    fill(tmp_path, "ab")
    (tmp_path / "summary.csv").write_text("id,path\na,so")
    (tmp_path / "errors.jsonl").write_text(json.dumps(dataclasses.asdict(failure("x"))) + '\n{"id": "y", "pa')
    (tmp_path / "parts" / ".part-00001.npz.tmp").write_bytes(b"half")
    with opened(tmp_path, "resume") as store:
        assert done(store) == {"a", "b", "x"}
    assert summary_ids(tmp_path) == ["a", "b"]
    assert [p.id for p in read(tmp_path)] == ["a", "b"]


def test_resuming_with_another_engine_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "ab")
    before = sorted((p, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file())
    refused("engine-differs", tmp_path, "resume", engine="f" * 64)
    assert sorted((p, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file()) == before


def test_a_folder_that_is_not_empty_needs_a_decision(tmp_path: Path) -> None:
    fill(tmp_path, "ab")
    refused("output-not-empty", tmp_path, "new")
    fill(tmp_path, "c", mode="overwrite")
    assert [p.id for p in read(tmp_path)] == ["c"]


def test_overwriting_deletes_nothing_that_is_not_ours(tmp_path: Path) -> None:
    fill(tmp_path, "ab")
    (tmp_path / "parts" / "notes.txt").write_text("mine")
    refused("output-foreign", tmp_path, "overwrite")
    assert [p.id for p in read(tmp_path)] == ["a", "b"]
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "summary.csv").write_text("mine")
    for mode in ("overwrite", "resume"):
        refused("output-foreign", thesis, mode)  # type: ignore[arg-type]
    assert (thesis / "summary.csv").read_text() == "mine"
    refused("output-not-a-folder", thesis / "summary.csv", "overwrite")


@pytest.mark.parametrize("kind", FIGURE_FORMATS)
def test_overwriting_takes_our_old_figures_along(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    fill(tmp_path, "ab")
    (tmp_path / "plots").mkdir()
    save(read_one(tmp_path, "a"), tmp_path / "plots" / f"a.{kind}")
    fill(tmp_path, "c", mode="overwrite")
    assert not (tmp_path / "plots").exists()


@pytest.mark.parametrize("name", ["plots/a.png", "plots/a.svg", "plots", "bands.h5", "bands.parquet", "bands.jsonl.gz"])
def test_overwriting_keeps_what_a_user_made_of_results(name: str, tmp_path: Path) -> None:
    fill(tmp_path, "ab")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"mine")
    refused("output-foreign", tmp_path, "overwrite")
    assert (tmp_path / name).read_bytes() == b"mine"


def test_two_runs_can_not_write_to_one_folder(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with opened(tmp_path) as store:
        store.write_run({})
        refused("output-locked", tmp_path, "resume")
    with opened(tmp_path, "resume"):
        pass


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        read_one(tmp_path, "a")
    assert caught.value.code == "output-not-found"
    fill(tmp_path, "ab")
    with opened(tmp_path, "resume") as store:
        store.fail(ticket("x", 9), failure("x"))
    with pytest.raises(OutputError, match=r"did you mean a\?") as caught:
        read_one(tmp_path, "aa")
    assert caught.value.code == "unknown-id"
    with pytest.raises(OutputError, match="cut short"):
        read_one(tmp_path, "x")
    with pytest.raises(OutputError, match=r"there are 2, such as a, b$"):
        read_one(tmp_path, "quite another")


def test_an_id_that_others_begin_with_names_those(tmp_path: Path) -> None:
    fill(tmp_path, ["Al_mp-1", "ZnO_mp-2133", "ZnO_mp-1986"])
    for given in ("ZnO", "zno_mp"):
        with pytest.raises(OutputError, match=r"did you mean ZnO_mp-2133 or ZnO_mp-1986\?$"):
            read_one(tmp_path, given)
    with pytest.raises(OutputError, match=r"did you mean ZnO_mp-2133\?$"):
        read_one(tmp_path, "mp-2133")


def test_a_folder_that_is_not_there_names_results_beside_it(tmp_path: Path) -> None:
    fill(tmp_path / "bands", "a")
    (tmp_path / "bander").mkdir()
    for given, said in (
        ("band", f"there is no such folder; did you mean {tmp_path / 'bands'}?"),
        ("other", "there is no such folder"),
    ):
        with pytest.raises(OutputError) as caught:
            read_one(tmp_path / given, "a")
        assert (caught.value.code, caught.value.message) == ("output-not-found", f"{tmp_path / given}: {said}")
    with pytest.raises(OutputError, match="is no output folder of bandrt"):
        read_one(tmp_path / "bander", "a")


def test_a_file_in_the_place_of_results_is_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.cif").touch()
    with pytest.raises(OutputError, match=r"is a file, .* predicted first by bandrt infer, or drawn at once by bandrt bands"):
        read_one(tmp_path / "a.cif", "a")
    fill(tmp_path / "bands", "a")
    for inside in ("summary.csv", "parts/part-00000.npz"):
        with pytest.raises(OutputError, match=rf"did you mean {tmp_path / 'bands'}\?"):
            read_one(tmp_path / "bands" / inside, "a")


def test_endless_nesting_is_damage_like_any(tmp_path: Path) -> None:
    fill(tmp_path, "ab")
    (tmp_path / "errors.jsonl").write_text("[" * 100_000 + "\n")
    assert read_errors(tmp_path) == []
    (tmp_path / "run.json").write_text("[" * 100_000)
    with pytest.raises(OutputError) as caught:
        read_run(tmp_path)
    assert caught.value.code == "run-damaged"
