"""Parcels: many objects of one dataclass as a few long arrays, for their way from a worker to the process that batches them.

Pickled one by one, each small array of each crystal costs more than its bytes do: a parcel takes half of the time. It gives back
arrays of their own, none of which keeps those of other crystals in memory, and which lie there as they did.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


@dataclass(frozen=True)
class _Stack:
    """Arrays of one shape and type."""

    rows: NDArray[Any]
    """(n, *shape), or, turned, (n, *reversed(shape))."""
    turned: bool
    """Whether the first axis of each is the one that is fastest in memory."""

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (row.copy().T for row in self.rows) if self.turned else (row.copy() for row in self.rows)


@dataclass(frozen=True)
class _Chain:
    """Arrays of one type and any shapes, one after the other."""

    flat: NDArray[Any]
    shapes: list[tuple[int, ...]]
    ends: list[int]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        start = 0
        for shape, end in zip(self.shapes, self.ends, strict=True):
            yield self.flat[start:end].copy().reshape(shape)
            start = end


class Parcel(Generic[T]):
    """Objects of one dataclass, fields of which may be arrays or dataclasses themselves."""

    def __init__(self, objects: Sequence[T]) -> None:
        self._size = len(objects)
        self._kind: type[T] | None = type(objects[0]) if objects else None
        names = [field.name for field in dataclasses.fields(objects[0])] if objects else []  # type: ignore[arg-type]
        self._columns = {name: _column([getattr(one, name) for one in objects]) for name in names}

    def __len__(self) -> int:
        return self._size

    def unpacked(self) -> list[T]:
        """The objects, equal to those that were packed; as by `pickle`, they are not checked again."""
        if self._kind is None:
            return []
        made: list[T] = []
        for values in zip(*self._columns.values(), strict=True):
            one = self._kind.__new__(self._kind)
            one.__dict__.update(zip(self._columns, values, strict=True))
            made.append(one)
        return made

    def __iter__(self) -> Iterator[T]:
        return iter(self.unpacked())


def _column(values: list[Any]) -> Sequence[Any] | _Stack | _Chain | Parcel[Any]:
    """The values of one field, in as few objects as may be; as they are if they are not all alike."""
    first = values[0]
    if dataclasses.is_dataclass(first):
        return Parcel(values) if all(type(one) is type(first) for one in values) else values
    if not isinstance(first, np.ndarray) or not all(isinstance(one, np.ndarray) and one.dtype == first.dtype for one in values):
        return values
    shapes, in_order = [one.shape for one in values], all(one.flags.c_contiguous for one in values)
    if shapes.count(first.shape) == len(shapes) and (in_order or all(one.flags.f_contiguous for one in values)):
        return _Stack(np.stack([one if in_order else one.T for one in values]), not in_order)
    if not in_order:
        return values
    return _Chain(np.concatenate([one.ravel() for one in values]), shapes, np.cumsum([one.size for one in values]).tolist())
