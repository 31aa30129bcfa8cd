"""Gaps of engines beside a table: who is drawn, which class a crystal is of, and what is counted."""

from pathlib import Path

import numpy as np
import pytest

from bandrt.crystal import Crystal
from bandrt_train.data.dataset import SplitRule
from tests.support.scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "train" / "gaps" / "materials-project.csv.gz"
engine_gaps = load_script(ROOT / "tools" / "engine_gaps.py")


def crystal(*numbers: int) -> Crystal:
    places = np.linspace(0.0, 0.9, len(numbers))[:, None] * np.ones(3)
    return Crystal(9.0 * np.eye(3), np.array(numbers, np.int32), places)


@pytest.mark.parametrize(
    ("numbers", "name"),
    [
        ({14}, "others"),
        ({26, 8}, "with V to Ni"),
        ({26, 60}, "with V to Ni"),
        ({60, 8}, "with lanthanides"),
        ({92}, "with actinides"),
    ],
)
def test_a_crystal_is_of_the_first_class_that_fits(numbers: set[int], name: str) -> None:
    assert engine_gaps.class_of(numbers) == name


def test_what_is_drawn_was_held_out_and_is_small() -> None:
    drawn = engine_gaps.held_out(TABLE, 20, 6)
    assert len({identifier for identifier, _, _ in drawn}) == len(drawn) == 20
    assert all(one.n_atoms <= 6 and SplitRule().split(one.hill_formula) == "test" for _, one, _ in drawn)


def test_errors_are_those_of_non_metals_and_failures_count_for_nothing() -> None:
    drawn = [("a", crystal(14), 1.0), ("b", crystal(26), 2.0), ("c", crystal(13), 0.0), ("d", crystal(60), 3.0)]
    made = engine_gaps.scores(drawn, [1.5, 0.0, 0.2, None])
    assert made["all"] == {
        "n_crystals": 3,
        "n_non_metals": 2,
        "gap_mae_ev": 1.25,
        "metal_accuracy": pytest.approx(1 / 3, abs=1e-4),
        "non_metals_called_metals": 0.5,
    }
    assert "with lanthanides" not in made
    assert made["others"]["gap_mae_ev"] == 0.5
    assert made["1 to 4 atoms"] == made["all"]
    assert not set(engine_gaps.SIZES).difference({"1 to 4 atoms"}) & set(made)


@pytest.mark.parametrize(("n_atoms", "name"), [(1, "1 to 4 atoms"), (5, "5 to 8 atoms"), (16, "9 to 16 atoms"), (61, "larger")])
def test_a_crystal_is_counted_among_those_of_its_size(n_atoms: int, name: str) -> None:
    assert engine_gaps.size_of(crystal(*[14] * n_atoms)) == name
