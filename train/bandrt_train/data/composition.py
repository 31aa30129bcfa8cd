"""Composition: what a formula alone says of a crystal, as numbers that chemically similar crystals share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bandrt.elements import MAX_ATOMIC_NUMBER, SYMBOLS
from bandrt_train.tables import element_properties

PROPERTIES = ("group", "period", "electronegativity")
"""Of an element, from `bandrt_train.tables`."""
PROPERTY_UNIT = 2.0
"""Spreads over the elements that count as much as a change of all atoms to another element does in one fraction: of 0 (fractions
alone), 1, 2, 3 and 10, the one with the best gaps of 1,500 training crystals, each from the others of other formulas."""
F_BLOCK_GROUP = 3
"""Lanthanides and actinides stand in a group of their own in that table; as a number theirs is scandium's."""

_NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS)}
_TERM = re.compile(r"([A-Z][a-z]?)(\d*)")


def elements_of(formula: str) -> tuple[str, ...]:
    """The elements of a formula without brackets, in its own order: ``O3SrTi`` gives O, Sr, Ti."""
    return tuple(symbol for symbol, _ in _TERM.findall(formula))


def elements_among(formulas: Iterable[str]) -> tuple[str, ...]:
    """Every element of some formulas, by atomic number."""
    return tuple(sorted({symbol for formula in formulas for symbol in elements_of(formula)}, key=_NUMBERS.__getitem__))


def fractions(formula: str) -> NDArray[np.float64]:
    """Share of each element, (119,), by atomic number."""
    shares = np.zeros(MAX_ATOMIC_NUMBER + 1)
    for symbol, amount in _TERM.findall(formula):
        shares[_NUMBERS[symbol]] += int(amount or 1)
    shares /= shares.sum()
    return shares


def descriptors(formulas: Sequence[str]) -> NDArray[np.float64]:
    """Vectors whose Euclidean distance says how unlike two compositions are.

    Element fractions beside, for each of `PROPERTIES`, the mean over the atoms and the mean absolute deviation from it: the
    simplest of the attributes of Ward et al., npj Comput. Mater. 2, 16028 (2016).

    Args:
        formulas: n reduced formulas.

    Returns:
        (n, 119 + 2 * 3).
    """
    shares = np.stack([fractions(formula) for formula in formulas])  # (n, 119)
    table = _properties()  # (119, 3)
    means = shares @ table  # (n, 3)
    deviations = np.stack(
        [(shares * np.abs(column - mean[:, None])).sum(axis=1) for column, mean in zip(table.T, means.T, strict=True)], axis=1
    )  # (n, 3)
    return np.concatenate([shares, means, deviations], axis=1)


@cache
def _properties() -> NDArray[np.float64]:
    """(119, 3) in units of `PROPERTY_UNIT` spreads from the mean over the elements; unknown electronegativities hold the mean."""
    rows = element_properties()
    table = np.zeros((MAX_ATOMIC_NUMBER + 1, len(PROPERTIES)))
    for column, name in enumerate(PROPERTIES):
        values = np.array([float(row[name]) if row[name] else np.nan for row in rows])
        if name == "group":
            values[values == 0] = F_BLOCK_GROUP
        table[1:, column] = np.nan_to_num((values - np.nanmean(values)) / (PROPERTY_UNIT * np.nanstd(values)))
    return table
