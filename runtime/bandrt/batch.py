"""Batches: crystals of similar size side by side, padded to one shape of the graph contract (`bandrt.contract`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from bandrt.contract import INPUTS, uses_centres
from bandrt.errors import OutputInTheWayError
from bandrt.files import check_folder, replaced

if TYPE_CHECKING:  # what runs an engine on arrays needs no crystals
    from bandrt.features import Features
    from bandrt.manifest import Manifest

MAX_PADDED_ATOMS: Final = 2048
"""Atoms in one batch, padding included, so that large crystals make small batches."""
HELD_BATCHES: Final = 16
"""How many full batches of crystals may wait for others of their size."""


class HasAtoms(Protocol):
    """What has a place in a batch."""

    @property
    def atomic_numbers(self) -> Sized:
        """As long as there are atoms."""


Key = TypeVar("Key")
Member = TypeVar("Member", bound=HasAtoms)


def pad(
    features: Sequence[Features],
    *,
    n_atoms: int | None = None,
    n_slots: int | None = None,
    n_mesh: int | None = None,
    batch_size: int | None = None,
) -> dict[str, NDArray[Any]]:
    """Lay several crystals side by side in one padded input.

    Args:
        features: at least one crystal, all with the same number of k-points. Centres of inversion are told of those that come
            before the first without one.
        n_atoms: N, by default the atoms of the largest crystal.
        n_slots: D, by default the neighbour slots of the crystals.
        n_mesh: M, by default the points of the largest mesh; those that a crystal does not have weigh nothing.
        batch_size: B, by default the number of crystals; further rows are all padding.

    Returns:
        One array for each of `bandrt.contract.INPUTS` that the crystals have; an engine may take fewer.

    Raises:
        ValueError: the crystals do not fit.
    """
    needed = (
        len(features),
        max(len(one.atomic_numbers) for one in features),
        max(one.neighbor_index.shape[1] for one in features),
        max(len(one.mesh_weights) for one in features),
    )
    wanted = tuple(
        least if given is None else given for least, given in zip(needed, (batch_size, n_atoms, n_slots, n_mesh), strict=True)
    )
    if any(room < least for room, least in zip(wanted, needed, strict=True)):
        raise ValueError(f"crystals, atoms, slots and mesh points {needed} do not fit in {wanted}")
    centred = list(takewhile(is_centred, features))
    n_centred = wanted[0] if len(centred) == len(features) else len(centred)  # padding is real, too
    sizes = dict(zip("BNDM", wanted, strict=True)) | {"K": len(features[0].kpoints), "C": n_centred}
    batch: dict[str, NDArray[Any]] = {}
    for tensor in INPUTS:
        arrays = [getattr(one, tensor.name) for one in (centred if "C" in tensor.dims else features)]
        if any(array is None for array in arrays):
            continue
        batch[tensor.name] = rows = tensor.padded(sizes)
        if not rows.size:
            continue
        n_free = sum(dim in ("N", "D", "M") for dim in tensor.dims)  # they come first
        for row, array in enumerate(arrays):
            place: tuple[int | slice, ...] = (row, *map(slice, array.shape[:n_free]))
            rows[place] = array
    return batch


def save(features: Sequence[Features], manifest: Manifest, folder: Path) -> None:
    """Write the padded input of an engine for programs that run the model file themselves: ``NAME.npy`` for each of its inputs.

    Args:
        features: of at least one crystal, made by the engine's recipe.
        manifest: of the engine, which lists its inputs.
        folder: made if it is not there; nothing else may be in it.

    Raises:
        OutputError: ``output-exists``, ``output-not-a-folder`` or ``output-unwritable``.
    """
    check_folder(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputInTheWayError("output-exists", f"{folder}: is not empty; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    arrays = pad(features)
    for name in manifest.inputs:
        with replaced(folder / f"{name}.npy", "wb") as file:
            np.save(file, arrays[name], allow_pickle=False)


def is_centred(features: Features) -> bool:
    """Whether a centre of inversion is known of a crystal."""
    return features.inversion_partner is not None


def alike(features: Sequence[Features], manifest: Manifest) -> list[list[int]]:
    """Which crystals an engine takes together: all, or, if it uses centres of inversion, those that have one and the others."""
    if not uses_centres(manifest):
        return [list(range(len(features)))]
    kinds = [[place for place, one in enumerate(features) if is_centred(one) is centred] for centred in (True, False)]
    return [kind for kind in kinds if kind]


def bucket_size(n_atoms: int) -> int:
    """Round a number of atoms up to one of four sizes per doubling: 1 to 8, then 10, 12, 14, 16, 20, 24, 28, 32, 40...

    Less than a fifth of a row is padding, and an engine meets few shapes.
    """
    step = 1 << max(0, (n_atoms - 1).bit_length() - 3)
    return -(-n_atoms // step) * step


def most_together(n_atoms: int, max_padded_atoms: int = MAX_PADDED_ATOMS) -> int:
    """How many crystals of a size, padding included, are put into one batch at most."""
    return max(1, max_padded_atoms // n_atoms)


class Batcher(Generic[Key, Member]):
    """Groups a stream of crystals by size, holding a bounded number of them.

    Which crystals make a batch depends on the order of the stream alone. A batch is a list of (key, member). Crystals of two lanes
    never share one, and those of either make the batches that they would make without the others.
    """

    def __init__(
        self,
        max_batch: int,
        *,
        max_padded_atoms: int = MAX_PADDED_ATOMS,
        max_held: int | None = None,
        holds: Callable[[int, bool], int | None] = lambda size, lane: None,
    ) -> None:
        """Start with nothing held.

        Args:
            max_batch: crystals in a batch at most.
            max_padded_atoms: atoms in a batch at most, padding included; a larger crystal goes alone.
            max_held: crystals of a lane that may wait; by default `HELD_BATCHES` full batches.
            holds: how many crystals of a size, padding included, what runs the batches of a lane takes at once; None: any number.
        """
        if max_batch < 1:
            raise ValueError(f"a batch of {max_batch} crystals is empty; at least 1 is needed")
        self._max_batch = max_batch
        self._max_padded_atoms = max_padded_atoms
        self._holds = holds
        self._max_held = HELD_BATCHES * max_batch if max_held is None else max_held
        self._buckets: dict[tuple[bool, int], list[tuple[Key, Member]]] = {}  # by lane and size
        self._fulls: dict[tuple[bool, int], int] = {}  # crystals that fill a batch, by the same
        self._held = {False: 0, True: 0}

    def add(self, key: Key, member: Member, *, lane: bool = False) -> list[list[tuple[Key, Member]]]:
        """Take one crystal, and give the batches that are due: none, or one."""
        place = lane, bucket_size(len(member.atomic_numbers))
        bucket = self._buckets.setdefault(place, [])
        bucket.append((key, member))
        self._held[lane] += 1
        if len(bucket) >= (self._fulls.get(place) or self._full(*place)):
            return [self._release(place)]
        if self._held[lane] > self._max_held:
            of_lane = [place for place in self._buckets if place[0] is lane]
            return [self._release(max(of_lane, key=lambda place: (len(self._buckets[place]), place[1])))]
        return []

    def _full(self, lane: bool, size: int) -> int:
        holds = self._holds(size, lane)
        full = min(self._max_batch, most_together(size, self._max_padded_atoms))
        self._fulls[lane, size] = full if holds is None else max(1, min(full, holds))
        return self._fulls[lane, size]

    def flush(self) -> list[list[tuple[Key, Member]]]:
        """Give what is still held, lane by lane, small crystals first."""
        return [self._release(place) for place in sorted(self._buckets)]

    def _release(self, place: tuple[bool, int]) -> list[tuple[Key, Member]]:
        batch = self._buckets.pop(place)
        self._held[place[0]] -= len(batch)
        return batch
