"""What is generated is committed as its generator gives it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bandrt.kpaths import templates
from tests.support.scripts import load_script

TOOLS = Path(__file__).resolve().parents[2] / "tools"
EVERY = 10
"""Of the templates that are built again: each takes a second."""


@pytest.mark.filterwarnings("ignore")  # pymatgen's, of values that it lacks
@pytest.mark.parametrize("name", ["element_properties", "atomic_levels"])
def test_a_table_of_elements_is_what_its_generator_writes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = load_script(TOOLS / f"{name}.py")
    committed = generator.OUTPUT.read_bytes()
    monkeypatch.setattr(generator, "OUTPUT", tmp_path / "again.csv")
    generator.main()
    assert (tmp_path / "again.csv").read_bytes() == committed


def test_the_parity_crystals_are_what_their_generator_chooses(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = load_script(TOOLS / "parity_crystals.py")
    committed = generator.OUTPUT.read_bytes()
    monkeypatch.setattr(generator, "OUTPUT", tmp_path / "again.json")
    monkeypatch.setattr("csv.field_size_limit", lambda limit: limit)  # it stays as it is for the other tests
    generator.main(shared / "data" / "structures.csv.gz")
    assert (tmp_path / "again.json").read_bytes() == committed


def test_the_kpath_templates_are_what_their_generator_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = load_script(TOOLS / "kpath_templates.py")
    shipped = templates.from_json(generator.TABLE.read_text(encoding="utf-8"))
    again = {key: generator.build_template(*key) for key in sorted(shipped)[::EVERY]}
    assert templates.to_json(again) == templates.to_json({key: shipped[key] for key in again})
    monkeypatch.setattr(generator, "N_SHAPES", 1)  # all of them take a minute
    rng = np.random.default_rng(0)
    found = {key for group in generator.laue_groups() for key in generator.keys_of(group, rng)}
    assert found <= shipped.keys()
