"""How much of the batches is padding: a run says what it was, and a dry run what it would be, without an engine or a GPU."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from bandrt.engine import SHIPPED_ENGINES, read_manifest
from bandrt.manifest import Bucket, Manifest, Profile
from bandrt.run import dry_run as dry_run_module
from bandrt.run.dry_run import dry_run
from bandrt.run.infer import InferOptions, infer
from bandrt.run.padding import Padding, padding_of
from bandrt.sources import Source
from bandrt.sources.textbook import TEXTBOOK, cif
from tests.support.cif_texts import WITHOUT_SYMBOL, cif_cell, cif_sites

SUPERCELL = "data_s\n" + cif_cell("4.2") + cif_sites("Mg 0 0 0", "O 0.1 0.2 0.3", "H 0.6 0.7 0.1", columns=WITHOUT_SYMBOL)


GAAS = next(cif(one) for one in TEXTBOOK if one.name == "GaAs")


def padding(manifest: Manifest, *, max_atoms: int | None, batch_size: int) -> Padding:
    """Of the textbook crystals."""
    sources = [Source(one.name, "", "cif", cif(one)) for one in TEXTBOOK]
    return padding_of(sources, manifest, None, batch_size=batch_size, max_atoms=max_atoms, workers=0, timeout=9.0)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_dry_run_says_what_the_run_then_is_padded_to(tiny_engine: Path, tmp_path: Path, workers: int) -> None:
    for one in TEXTBOOK:
        (tmp_path / "in" / f"{one.name}.cif").parent.mkdir(exist_ok=True)
        (tmp_path / "in" / f"{one.name}.cif").write_text(cif(one))
    (tmp_path / "in" / "broken.cif").write_text("no crystal")
    (tmp_path / "in" / "three.cif").write_text(SUPERCELL)
    options = InferOptions(engine=tiny_engine, batch_size=4, workers=workers)
    said = dry_run(tmp_path / "in", tmp_path / "out", options)
    assert said["inputs"] == len(TEXTBOOK) + 2
    assert not (tmp_path / "out").exists()
    report = infer(tmp_path / "in", tmp_path / "out", options)
    assert said["padding"] == report.padding.ratio
    assert said["padding"] >= 1.0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["padding"] == said["padding"]


def test_batches_are_those_that_a_plan_holds() -> None:
    profile = Profile(max_atoms=8, max_batch=6, buckets=(Bucket(1, 2, 1, 6), Bucket(3, 8, 1, 3)))
    manifest = dataclasses.replace(read_manifest(SHIPPED_ENGINES["fast"]), profile=profile)
    sizes = {True: padding(manifest, max_atoms=None, batch_size=64), False: padding(manifest, max_atoms=2, batch_size=4)}
    assert sizes[False].atoms < sizes[True].atoms  # cells of more than two atoms are passed over
    assert {one.inputs for one in sizes.values()} == {len(TEXTBOOK)}
    twice = [Source(name, "", "cif", text) for name, text in (("a", GAAS), ("b", GAAS))]
    one = padding_of(twice * 5, manifest, None, batch_size=64, max_atoms=None, workers=0, timeout=9.0)
    assert (one.atoms, one.padded_atoms) == (20, 12 + 8)  # six and four crystals of two atoms


def test_without_a_crystal_nothing_is_said() -> None:
    assert Padding().ratio is None


def test_of_many_inputs_the_first_are_read(tiny_engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run_module, "MOST_SIZED", 1)
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.cif").write_text("no crystal" if name == "a" else SUPERCELL)
    said = dry_run(tmp_path, tmp_path / "out", InferOptions(engine=tiny_engine))
    assert (said["inputs"], said["padding"]) == (3, None)
