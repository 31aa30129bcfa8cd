"""Which results of several runs count: each input once. Of each result some 50 bytes are looked at, whatever there is of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.results.lines import key_of

ROW: Final = np.dtype(
    [
        ("id", "u8"), ("input", "u8"), ("path", "u8"),  # of their hashes
        ("order", "i8"),  # among the inputs of all runs
        ("run", "i4"), ("part", "i4"), ("place", "i4"),  # where the result is; part -1 is a failure
        ("by_path", "?"),  # whether the path alone tells of which input a failure is
    ]
)  # fmt: skip
Rows = NDArray[np.void]
"""Results, of type `ROW`."""


class Sifted(NamedTuple):
    """What counts."""

    predictions: Rows
    """In the order of the inputs."""
    failures: Rows
    """Run by run."""
    n_repeated: int
    """Results that are of an input that another one is of."""
    conflict: Rows | None
    """Two results of one id that are of different inputs, if there are any."""


def rows_of(
    texts: Iterable[tuple[str, str, str]], *, run: int, part: int, orders: NDArray[np.int64], by_path: Sequence[bool] = ()
) -> Rows:
    """Rows of the results in one file.

    Args:
        texts: id, checksum of the input and path of each.
        run: the number of the run.
        part: the number of the part; -1 of failures.
        orders: (n,) places among the inputs.
        by_path: of each failure, whether its path tells of which input it is.
    """
    rows = np.zeros(len(orders), ROW)
    keys = [tuple(map(key_of, map(str, of_one))) for of_one in texts]
    if keys:
        rows["id"], rows["input"], rows["path"] = np.array(keys, np.uint64).T
    rows["order"], rows["run"], rows["part"], rows["place"] = orders, run, part, np.arange(len(orders))
    rows["by_path"] = by_path if len(by_path) else False
    return rows


def sifted(rows: Rows) -> Sifted:
    """Keep one result for each input: a prediction rather than a failure, and of several the one of the first run.

    Results of one id are of one input if its text is the same; or if one of them is a failure of the same path whose text is not
    known, since the file could not be opened once, or whose path is absolute: a relative one may be of another folder.
    """
    failed = rows["part"] < 0
    by_id = rows[np.lexsort((rows["place"], -rows["part"], rows["run"], failed, rows["id"]))]
    is_first = np.ones(len(by_id), bool)
    is_first[1:] = by_id["id"][1:] != by_id["id"][:-1]
    first = by_id[np.maximum.accumulate(np.where(is_first, np.arange(len(by_id)), 0))] if len(by_id) else by_id
    same = (by_id["input"] == first["input"]) | ((by_id["by_path"] | first["by_path"]) & (by_id["path"] == first["path"]))
    conflicts = np.flatnonzero(~same)
    conflict = np.array([first[conflicts[0]], by_id[conflicts[0]]]) if len(conflicts) else None
    kept = by_id[is_first]
    kept = kept[np.lexsort((kept["place"], kept["part"], kept["run"], kept["order"]))]
    failures = kept[kept["part"] < 0]
    return Sifted(kept[kept["part"] >= 0], failures[np.argsort(failures["run"], kind="stable")], len(rows) - len(kept), conflict)
