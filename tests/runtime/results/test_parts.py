"""Parts: texts of any length, none of which costs the others room, and damage that is found."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bandrt.results.damage import BadPartError, PartVersionError
from bandrt.results.parts import (
    Restated,
    part_arrays,
    part_ids,
    part_orders,
    part_predictions,
    read_part,
    revise_part,
)
from bandrt.results.texts import packed, unpacked
from tests.support.predicted_crystals import CUBIC, predicted, write_predictions

ENGINE = "e" * 64
LONG = "Ω" * 10_000
NAMES = ["a", LONG, "", "b\0", "Γ→X", "\udcff"]


def written(folder: Path, names: list[str], kept: dict[str, str] | None = None) -> Path:
    one = predicted("a", CUBIC)
    path = folder / "part-00000.npz"
    predictions = [
        dataclasses.replace(one, id=name, path=f"in/{name}", warnings=(name,) if name else (), kept=kept or {}) for name in names
    ]
    write_predictions(path, predictions, engine_sha256=ENGINE)
    return path


def test_texts_of_any_length_come_back_and_half_characters_as_they_are_printed(tmp_path: Path) -> None:
    part = written(tmp_path, NAMES)
    stored = [*NAMES[:-1], r"\udcff"]
    assert part_ids(part) == stored
    assert [(p.id, p.path, p.warnings) for p in read_part(part)] == [(n, f"in/{n}", (n,) if n else ()) for n in stored]


def test_a_long_id_costs_itself_alone(tmp_path: Path) -> None:
    with_a_long_one = written(tmp_path, [LONG, *("a" * 499)]).stat().st_size
    all_short = written(tmp_path, [*("a" * 500)]).stat().st_size
    assert with_a_long_one - all_short < 4 * len(LONG.encode())  # as id, path and warning


def test_revised_parts_keep_their_texts(tmp_path: Path) -> None:
    part = written(tmp_path, NAMES, kept={"phase": "α"})
    moved = Restated("elsewhere", {"phase": "β"}, ("layered", "damaged-file"))
    revise_part(part, np.array([4, 1]), np.array([0, 7]), {1: moved})
    assert [(p.id, p.path) for p in read_part(part)] == [(NAMES[4], f"in/{NAMES[4]}"), (LONG, "elsewhere")]
    assert [p.kept for p in read_part(part)] == [{"phase": "α"}, {"phase": "β"}]
    assert [p.warnings for p in read_part(part)] == [(NAMES[4],), ("layered", "damaged-file")]
    assert part_orders(part) == [0, 7]


def test_a_flipped_bit_of_a_text_is_found(tmp_path: Path) -> None:
    part = written(tmp_path, ["first", "second"])
    whole = part.read_bytes()
    for mark in (b"firstsecond", b"in/firstin/second"):
        for place in range(whole.index(mark), whole.index(mark) + len(mark)):
            damaged = bytearray(whole)
            damaged[place] ^= 1
            part.write_bytes(damaged)
            with pytest.raises(BadPartError):
                part_arrays(part)


@pytest.mark.parametrize(
    "wrong", [[0, 1], [0, 2, 1, 3], [1, 2, 3, 3], [0, 1, 2, 9], [-1, 0, 1, 3], [[0, 1, 2, 3]], [0.0, 1.0, 2.0, 3.0], []]
)
def test_offsets_that_are_none_are_damage(tmp_path: Path, wrong: list[int]) -> None:
    part = written(tmp_path, ["a", "b", "c"])
    with np.load(part, allow_pickle=False) as archive:
        arrays = dict(archive)
    np.savez(part, allow_pickle=False, **(arrays | {"id_offsets": np.array(wrong)}))
    for read in (part_arrays, part_ids):
        with pytest.raises(BadPartError):
            read(part)


def test_what_needs_no_more_than_the_ids_of_a_newer_format_refuses_it_too(tmp_path: Path) -> None:
    part = written(tmp_path, ["a"])
    with np.load(part, allow_pickle=False) as archive:
        arrays = dict(archive)
    np.savez(part, allow_pickle=False, **(arrays | {"format_version": np.array(2)}))
    with pytest.raises(PartVersionError, match="part format 2, this bandrt reads 1 and 3"):
        part_ids(part)


@pytest.mark.parametrize("kept", ["{", "[]", '{"phase": 1}'])
def test_kept_columns_that_are_none_are_damage(tmp_path: Path, kept: str) -> None:
    part = written(tmp_path, ["a"], kept={"phase": "α"})
    with np.load(part, allow_pickle=False) as archive:
        arrays = dict(archive)
    text, offsets = packed([kept])
    np.savez(part, allow_pickle=False, **(arrays | {"kept": text, "kept_offsets": offsets}))
    with pytest.raises(BadPartError):
        list(read_part(part))


@pytest.mark.parametrize("texts", [[], [""], ["", "ä", ""], NAMES[:-1]])
def test_texts_are_unpacked_as_they_were_packed(texts: list[str]) -> None:
    assert unpacked(*packed(texts)).tolist() == texts


def test_some_predictions_of_a_part_are_read_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.npz"
    write_predictions(
        path, [predicted(id, CUBIC, gap=gap) for id, gap in (("a", 1.0), ("b", 2.0), ("c", 3.0))], engine_sha256="0" * 64
    )
    found = part_predictions(path, {"c", "a", "z"})
    whole = {one.id: one for one in read_part(path)}
    assert list(found) == ["a", "c"]
    for id, one in found.items():
        np.testing.assert_array_equal(one.band_structure.energies, whole[id].band_structure.energies)
    assert part_predictions(path, {"z"}) == {}
