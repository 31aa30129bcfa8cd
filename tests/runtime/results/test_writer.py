"""Going on with results: only those that a run would make itself are kept, nothing that may be whole is deleted."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandrt.errors import OutputError
from bandrt.results import parts as parts_module
from bandrt.results import stored_predictions
from bandrt.results import writer as writer_module
from bandrt.results.parts import part_arrays, read_part
from bandrt.results.prediction import Failure, Prediction, Ticket
from bandrt.results.store import Mode, read, read_errors, read_one
from bandrt.results.writer import Store
from tests.support.predicted_crystals import CUBIC, METAL, predicted, write_predictions

ENGINE = "e" * 64
RECORD = {"bandrt_version": "test"}
BETWEEN = 0.12345750001
"""eV: rounded to single precision, as a part holds it, it is another number of six digits."""
GAPS = {"1": 1.0, "2": 2.0, "3": 3.0}


def opened(folder: Path, mode: Mode = "resume", **options: object) -> Store:
    return Store(folder, engine_sha256=ENGINE, mode=mode, record=RECORD, **options)  # type: ignore[arg-type]


def ticket(order: int, name: str, content: str, folder: str = "in") -> Ticket:
    return Ticket(order, name, f"{folder}/{name}.cif", (), content)


def prediction(given: Ticket) -> Prediction:
    one = predicted(given.id, CUBIC, gap=GAPS.get(given.input_sha256, 0.5), uncertainty=None)
    return dataclasses.replace(one, path=given.path, input_sha256=given.input_sha256)


def failure(given: Ticket, code: str = "cif-syntax") -> Failure:
    return Failure(given.id, given.path, "read", code, "it is cut short", given.input_sha256)


def run(folder: Path, inputs: str, *, mode: Mode = "resume", at: str = "in", failing: str = "", searched: str = "in") -> list[str]:
    """A run over inputs such as ``a1 b2``, a name and its content each; what was done, kept inputs left out."""
    done = []
    with opened(folder, mode) as store:
        for order, (name, content) in enumerate(inputs.split()):
            given = ticket(order, name, content, at)
            if store.kept(given) is not None:
                continue
            done.append(name)
            if name in failing:
                store.fail(given, failure(given))
            else:
                store.add(given, prediction(given))
        store.finish([Path(searched)])
    return done


def contents(folder: Path) -> dict[str, object]:
    """Everything that is read of a folder, in order."""
    return {
        "summary": (folder / "summary.csv").read_bytes(),
        "errors": (folder / "errors.jsonl").read_bytes(),
        "read": [(p.id, p.path, p.input_sha256, p.band_structure.energies.tobytes()) for p in read(folder)],
        "orders": sorted(int(order) for part in (folder / "parts").iterdir() for order in part_arrays(part)["input_order"]),
    }


def ids(folder: Path) -> list[str]:
    with (folder / "summary.csv").open(encoding="utf-8", newline="") as file:
        return [row["id"] for row in csv.DictReader(file)]


def refused(code: str, folder: Path, mode: Mode = "resume") -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(OutputError) as caught:
        opened(folder, mode)
    assert caught.value.code == code
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before, "all is left as it was"


@pytest.mark.parametrize(
    ("first", "second", "redone"),
    [
        ("a1 b2 c3", "a1 b2 c3", ""),
        ("a1 b2 c3", "a1 b9 c3", "b"),  # changed
        ("a1 b2 c3", "a2 b1 c3", "ab"),  # names changed places
        ("a1 b2 c3", "a1 c3 d2", "d"),  # b is called d now
        ("a1 b2 c3", "a1 c3", ""),  # gone
        ("a1 b2", "x3 a1 y1 b2 z1", "xyz"),  # more, in between
        ("a1 b2 c3 d1", "d1 c3 b2 a1", ""),  # another order
    ],
)
@pytest.mark.parametrize("part_crystals", [1, 2, 512])
def test_a_resumed_run_leaves_what_a_run_from_nothing_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str, redone: str, part_crystals: int
) -> None:
    monkeypatch.setattr(writer_module, "PART_CRYSTALS", part_crystals)
    run(tmp_path / "resumed", first, mode="new", failing="d")
    assert "".join(run(tmp_path / "resumed", second, failing="d")) == redone
    run(tmp_path / "fresh", second, mode="new", failing="d")
    assert contents(tmp_path / "resumed") == contents(tmp_path / "fresh")


def test_a_resumed_run_writes_the_numbers_of_a_fresh_one_to_the_last_digit(tmp_path: Path) -> None:
    given = ticket(0, "a", "1")
    with opened(tmp_path, "new", uncertainty=True) as store:
        store.add(given, dataclasses.replace(prediction(given), uncertainty_ev=BETWEEN))
    fresh = contents(tmp_path)
    with opened(tmp_path, uncertainty=True) as store:
        assert store.kept(given) is not None
        store.finish([Path("in")])
    assert contents(tmp_path) == fresh


def test_warnings_of_how_a_crystal_was_read_change_in_their_place_without_a_new_prediction(tmp_path: Path) -> None:
    given = ticket(0, "a", "1")
    with opened(tmp_path, "new") as store:
        codes = ("magnetic:Fe", "damaged-file", "close-atoms:Cl-Cs")
        store.add(given, dataclasses.replace(prediction(given), warnings=codes))
        store.finish([Path("in")])
    for notes in (("symmetry-not-stated", "damaged-file"), (), ("moments-dropped:Cl1",)):
        with opened(tmp_path) as store:
            assert store.kept(given, lambda _, notes=notes: notes) is not None
            assert store.warning_codes == dict.fromkeys(("magnetic", *(n.partition(":")[0] for n in notes), "close-atoms"), 1)
            store.finish([Path("in")])
        [one] = read(tmp_path)
        assert one.warnings == ("magnetic:Fe", *notes, "close-atoms:Cl-Cs")
        assert ";".join(one.warnings) in (tmp_path / "summary.csv").read_text()
    with opened(tmp_path) as store:
        assert store.kept(given, lambda _: ()) is not None
        store.add(given, prediction(given))  # again, beside others of its batch
        store.finish([Path("in")])
        assert not store.warning_codes
    assert not (tmp_path / "set-aside").exists()


def test_what_is_no_longer_true_is_set_aside_and_counted(tmp_path: Path) -> None:
    run(tmp_path, "a1 b2 c3", mode="new")
    whole = (tmp_path / "parts" / "part-00000.npz").read_bytes()
    with opened(tmp_path) as store:
        changed = ticket(0, "a", "2")
        assert store.kept(changed) is None
        assert store.kept(ticket(1, "b", "2")) is not None
        store.add(changed, prediction(changed))
        store.finish([Path("in")])
        assert (store.n_set_aside, store.n_predicted) == (2, 2)
    assert ids(tmp_path) == ["a", "b"]
    assert (tmp_path / "set-aside" / "part-00000.npz").read_bytes() == whole
    assert [p.id for p in read_part(tmp_path / "set-aside" / "part-00000.npz")] == ["a", "b", "c"]
    run(tmp_path, "a1", mode="overwrite")
    assert not (tmp_path / "set-aside").exists()


def test_a_mended_input_loses_its_failure_and_a_broken_one_its_prediction(tmp_path: Path) -> None:
    run(tmp_path, "a1 b2 c3", mode="new", failing="b")
    run(tmp_path, "a9 b1 c3", failing="a")
    assert ids(tmp_path) == ["b", "c"]
    assert [(f.id, f.input_sha256, f.engine_sha256) for f in read_errors(tmp_path)] == [("a", "9", ENGINE)]
    with opened(tmp_path) as store:
        assert (store.n_predicted, store.failure_codes) == (2, {"cif-syntax": 1})


def test_inputs_that_were_not_looked_for_stay_after_the_others(tmp_path: Path) -> None:
    run(tmp_path, "x1 y2", mode="new", at="elsewhere", searched="elsewhere")
    run(tmp_path, "b2 a1", failing="")
    assert ids(tmp_path) == ["b", "a", "x", "y"]
    assert [p.id for p in read(tmp_path)] == ["b", "a", "x", "y"]


def test_what_could_not_be_looked_at_is_not_gone(tmp_path: Path) -> None:
    def table(rows: int, *, broken: bool) -> None:
        with opened(tmp_path) as store:
            for row in range(rows):
                given = Ticket(row, f"t:{row}", f"in/t.csv:{row}", (), "1")
                if store.kept(given) is None:
                    store.add(given, prediction(given))
            if broken:
                end = Ticket(rows, f"t:{rows}", f"in/t.csv:{rows}", (), "2")
                store.fail(end, failure(end, "unreadable"))
            store.finish([Path("in")])

    table(4, broken=False)
    table(2, broken=True)
    assert ids(tmp_path) == ["t:0", "t:1", "t:3"]  # t:2 could not be read; what came after it may still be there


def test_a_folder_that_was_moved_is_kept_under_its_new_paths(tmp_path: Path) -> None:
    run(tmp_path / "resumed", "a1 b2", mode="new")
    assert run(tmp_path / "resumed", "a1 b2", at="/absolute/in", searched="/absolute/in") == []
    run(tmp_path / "fresh", "a1 b2", mode="new", at="/absolute/in")
    assert contents(tmp_path / "resumed") == contents(tmp_path / "fresh")


def test_another_kind_of_file_of_the_same_text_is_another_input(tmp_path: Path) -> None:
    run(tmp_path, "a1", mode="new")
    with opened(tmp_path) as store:
        assert store.kept(Ticket(0, "a", "in/a.vasp", (), "1")) is None


def test_a_failure_of_the_prediction_is_tried_again(tmp_path: Path) -> None:
    given = ticket(0, "a", "1")
    with opened(tmp_path, "new") as store:
        store.fail(given, dataclasses.replace(failure(given, "out-of-memory"), stage="predict"))
    assert run(tmp_path, "a1") == ["a"]
    assert read_errors(tmp_path) == []


def test_a_failure_of_another_engine_is_not_kept(tmp_path: Path) -> None:
    run(tmp_path, "a1", mode="new", failing="a")
    with Store(tmp_path, engine_sha256="f" * 64, mode="resume", record=RECORD) as store:
        assert store.kept(ticket(0, "a", "1")) is None


def test_tables_are_in_the_order_of_the_inputs_whatever_came_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "PART_CRYSTALS", 2)
    names = "abcdefghij"
    with opened(tmp_path, "new") as store:
        for order in np.random.default_rng(1).permutation(10):
            given = ticket(int(order), names[order], "1")
            if order % 3:
                store.add(given, prediction(given))
            else:
                store.fail(given, failure(given))
        assert sorted(ids(tmp_path)) != ids(tmp_path), "lines are written as they come"
    assert ids(tmp_path) == [p.id for p in read(tmp_path)] == list("bcefhi")
    assert [f.id for f in read_errors(tmp_path)] == list("adgj")


def test_order_costs_fifty_bytes_for_a_crystal(tmp_path: Path) -> None:
    with opened(tmp_path, "new") as store:
        assert store._predictions._summary._rows.itemsize <= 50


def test_parts_are_ordered_by_number_beyond_five_digits(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "run.json").write_text(json.dumps(RECORD))
    for number, name in ((99_999, "a"), (100_000, "b"), (1_000_000, "c")):
        given = ticket(number, name, "1")
        write_predictions(tmp_path / "parts" / f"part-{number:05d}.npz", [prediction(given)], engine_sha256=ENGINE, orders=[number])
    assert run(tmp_path, "a1 b1 c1 d1") == ["d"]
    assert ids(tmp_path) == list("abcd")
    assert sorted(p.name for p in (tmp_path / "parts").iterdir())[1:3] == ["part-1000000.npz", "part-1000001.npz"]
    run(tmp_path, "a1", mode="overwrite")
    assert [p.name for p in (tmp_path / "parts").iterdir()] == ["part-00000.npz"]


def test_parts_that_overlap_too_much_are_read_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for number in range(20):
        given = [ticket(order, f"{number}-{order}", "1") for order in (number, 100 - number)]
        write_predictions(
            tmp_path / "parts" / f"part-{number:05d}.npz", [prediction(one) for one in given], engine_sha256=ENGINE,
            orders=[one.order for one in given],
        )  # fmt: skip
    assert [p.id for p in read(tmp_path)] == [f"{n}-{order}" for n in range(20) for order in (n, 100 - n)]


def test_a_prediction_that_a_kill_left_twice_counts_once(tmp_path: Path) -> None:
    run(tmp_path, "a1 b2", mode="new")
    again = ticket(0, "a", "9")
    write_predictions(tmp_path / "parts" / "part-00001.npz", [prediction(again)], engine_sha256=ENGINE, orders=[0])
    with opened(tmp_path) as store:
        assert store.n_predicted == 2
        assert store.kept(again) is not None
    assert sorted(p.input_sha256 for p in read(tmp_path)) == ["2", "9"]


@pytest.mark.parametrize("moment", ["write_part", "_revise"])
def test_whenever_a_run_is_killed_no_crystal_is_read_twice(moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, "a1 b2", mode="new")

    class Killed(BaseException):
        pass

    owner: Any = stored_predictions if moment == "write_part" else stored_predictions.StoredPredictions
    done = getattr(owner, moment)

    def killed(*given: Any, **named: Any) -> None:
        done(*given, **named)
        raise Killed

    monkeypatch.setattr(owner, moment, killed)
    again = ticket(0, "a", "9")
    store = opened(tmp_path)
    store.add(again, prediction(again))
    with pytest.raises(Killed):
        store.commit()
    assert sorted((p.id, p.input_sha256) for p in read(tmp_path))[-1] == ("b", "2")
    assert [p.id for p in read(tmp_path)].count("a") == (moment == "write_part")
    store._let_go()
    monkeypatch.undo()
    assert run(tmp_path, "a9 b2") == ([] if moment == "write_part" else ["a"])
    assert [(p.id, p.input_sha256) for p in read(tmp_path)] == [("a", "9"), ("b", "2")]


def test_a_part_that_can_not_be_read_now_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, "a1 b2", mode="new")

    def broken(self: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(parts_module.Path, "read_bytes", broken)  # type: ignore[attr-defined]
        with pytest.raises(OutputError, match="Input/output error") as caught:
            opened(tmp_path)
        assert caught.value.code == "part-unreadable"
        with pytest.raises(OutputError) as caught:
            list(read(tmp_path))
        assert caught.value.code == "part-unreadable"
    assert [p.id for p in read(tmp_path)] == ["a", "b"]


def test_a_part_of_a_newer_format_is_left_as_it_is(tmp_path: Path) -> None:
    run(tmp_path, "a1 b2", mode="new")
    part = tmp_path / "parts" / "part-00000.npz"
    with np.load(part, allow_pickle=False) as written:
        arrays = dict(written)
    np.savez(part, **(arrays | {"format_version": np.array(4)}))
    refused("part-version", tmp_path)
    with pytest.raises(OutputError, match="part format 4"):
        list(read(tmp_path))


def test_results_of_the_format_before_are_read_and_not_gone_on_with(tmp_path: Path) -> None:
    run(tmp_path, "a1 b2", mode="new")
    part = tmp_path / "parts" / "part-00000.npz"
    arrays = part_arrays(part)
    del arrays["input_sha256"], arrays["input_order"]
    texts = {name: arrays[name].astype(str) for name in ("id", "path", "warnings")}
    np.savez(part, allow_pickle=False, **(arrays | texts | {"format_version": np.array(1)}))
    assert [(p.id, p.input_sha256) for p in read(tmp_path)] == [("a", ""), ("b", "")]
    assert read_one(tmp_path, "b").energies.shape == (6, 64)
    refused("output-version", tmp_path)
    run(tmp_path, "a1", mode="overwrite")
    assert ids(tmp_path) == ["a"]


def test_a_damaged_part_is_kept_under_another_name(tmp_path: Path) -> None:
    for damage in (b"", b"PK\x03\x04 cut"):
        run(tmp_path, "a1 b2")
        part = next((tmp_path / "parts").iterdir())
        part.write_bytes(damage)
        assert run(tmp_path, "a1 b2") == ["a", "b"]
        assert damage in [path.read_bytes() for path in (tmp_path / "set-aside").iterdir()]
    assert ids(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("mode", ["new", "resume", "overwrite"])
def test_what_a_run_leaves_that_is_killed_before_it_writes_is_in_nobodys_way(tmp_path: Path, mode: Mode) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / ".summary.csv.tmp").touch()
    (tmp_path / ".run.json.tmp").write_text('{"bandrt')
    run(tmp_path, "a1", mode=mode)
    assert ids(tmp_path) == ["a"]


def test_the_record_is_there_before_anything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(store: Store, **options: bool) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "_load", killed)
    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path, "new")
    assert json.loads((tmp_path / "run.json").read_text()) == RECORD | {"status": "interrupted"}
    monkeypatch.undo()
    run(tmp_path, "a1")


@pytest.mark.parametrize("fails", [True, False])
def test_a_folder_that_is_removed_stops_the_run_and_is_not_made_again(tmp_path: Path, fails: bool) -> None:
    out, first, second = tmp_path / "out", ticket(0, "a", "1"), ticket(1, "b", "1")
    with pytest.raises(OutputError) as caught, opened(out, "new") as store:  # noqa: PT012 - what is written after the removal
        store.add(first, prediction(first))
        shutil.rmtree(out)
        if fails:
            store.fail(second, failure(second))
        else:
            store.add(second, prediction(second))
    assert caught.value.code == "output-removed"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "pread"), reason="a disk is filled as on Unix")
def test_a_full_disk_stops_the_run_and_keeps_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "PART_CRYSTALS", 1)
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(OutputError, match="--resume") as caught, opened(tmp_path, "new") as store:  # noqa: PT012
        store.add(ticket(0, "a", "1"), prediction(ticket(0, "a", "1")))
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))  # a file system answers alike when it is full
            store.add(ticket(1, "b", "1"), prediction(ticket(1, "b", "1")))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.code == "output-unwritable"
    assert ids(tmp_path) == [p.id for p in read(tmp_path)] == ["a"]
    assert [p.name for p in (tmp_path / "parts").iterdir()] == ["part-00000.npz"], "nothing half written is left"
    assert run(tmp_path, "a1 b1") == ["b"]


def test_revised_parts_keep_the_atoms_of_their_crystals(tmp_path: Path) -> None:
    run(tmp_path, "a1 b2", mode="new")
    one, other = ticket(0, "m", "3"), ticket(1, "n", "3")
    with opened(tmp_path) as store:
        kinds = ((one, METAL), (other, CUBIC))
        store.add_batch(
            [(t, dataclasses.replace(predicted(t.id, c, uncertainty=None), path=t.path, input_sha256="3")) for t, c in kinds]
        )
        store.finish([Path("in")])
    before = read_one(tmp_path, "n").crystal
    with opened(tmp_path) as store:
        assert store.kept(other) is not None
        store.finish([Path("in")])
    after = read_one(tmp_path, "n").crystal
    assert ids(tmp_path) == ["n"]
    np.testing.assert_array_equal(before.frac_coords, after.frac_coords)
    np.testing.assert_array_equal(before.atomic_numbers, after.atomic_numbers)
