"""What can be wanted of a crystal, and what cannot."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bandrt.errors import ArgumentError, UsageError
from bandrt.screening.criteria import Criteria, elements_of, parse_elements, parse_gap, parse_space_groups


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1.0:1.6", (1.0, 1.6)), ("1:", (1.0, math.inf)), (":0.5", (0.0, 0.5)), ("0:0", (0.0, 0.0)), (" 2:2 ", (2.0, 2.0))],
)
def test_a_gap_has_two_ends_of_which_one_may_be_left_out(text: str, expected: tuple[float, float]) -> None:
    assert parse_gap(text) == expected


@pytest.mark.parametrize("text", ["1.6:1.0", "-1:2", "1", ":", "", "a:b", "nan:2", "1:inf:3", "1:2000", "1_0:20"])
def test_what_is_no_gap_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_gap(text)
    assert caught.value.code == "bad-criterion"
    assert caught.value.exit_code == 2


def test_ends_in_the_wrong_order_are_called_so() -> None:
    with pytest.raises(UsageError, match=r"^'2:1': the lower end of gap, 2 eV, is above the upper one, 1 eV$"):
        parse_gap("2:1")
    with pytest.raises(UsageError, match=r"^'230:195': 230 is above 195; "):
        parse_space_groups("230:195")


def test_elements_and_space_groups_are_parted_by_commas() -> None:
    assert parse_elements("O, F") == ("O", "F")
    assert parse_space_groups("216,225") == ((216, 216), (225, 225))
    assert parse_space_groups("195:230,2") == ((195, 230), (2, 2))
    assert parse_space_groups("200:") == ((200, 230),)


@pytest.mark.parametrize("text", ["Xx", "o", "", ",", "1"])
def test_what_is_no_element_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"element") as caught:
        parse_elements(text)
    assert caught.value.code == "bad-criterion"


@pytest.mark.parametrize("text", ["0", "231", "230:1", "Fm-3m", "1.5", ":", "2_2"])
def test_what_is_no_space_group_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="1 to 230") as caught:
        parse_space_groups(text)
    assert caught.value.code == "bad-criterion"


@pytest.mark.parametrize(
    "wrong",
    [
        {"gap": (2.0, 1.0)}, {"gap": (-1.0, 1.0)}, {"gap": (1.0, math.nan)}, {"gap": 1.0}, {"direct": "yes"},
        {"elements": ("Xx",)}, {"exclude": "O"}, {"max_atoms": 0}, {"space_groups": ((0, 1),)}, {"where": 3},
    ],
)  # fmt: skip
def test_python_refuses_the_same(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError) as caught:
        Criteria(**wrong)
    assert caught.value.code == "bad-argument"


def test_a_metal_is_wanted_where_a_gap_of_zero_is_and_direct_is_not_asked() -> None:
    assert Criteria(gap=(0.0, 0.5)).admits_metals()
    assert not Criteria(gap=(0.1, 0.5)).admits_metals()
    assert not Criteria(gap=(0.0, 0.5), direct=True).admits_metals()
    assert not Criteria(elements=("O",)).is_of_label


def test_elements_are_read_off_a_formula() -> None:
    assert elements_of("Ba2Sr2O7Cl") == {"Ba", "Sr", "O", "Cl"}
    assert elements_of("CO") != elements_of("Co")
