"""Bands to learn, on the k-points where they were computed, and which bands of the model they are.

Bands of labels and model are matched by counting from half filling, since each keeps other inner shells: what is above half filling
in one is above it in the other. The window of six bands around the Fermi level has no part in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bandrt.arguments import checked_number, checked_whole, not_allowed
from bandrt.computed.around_fermi import select_bands
from bandrt.computed.documents import BandDocument
from bandrt.computed.lines import document_crystal
from bandrt.errors import InputError
from bandrt.hamiltonian.filling import n_filled
from bandrt.manifest import BandRule
from bandrt_train.data.dataset import Refusal
from bandrt_train.data.sources.folders import find_documents
from bandrt_train.model.hamiltonian.pairs import Pairs, find_pairs

LAST_AND_NEXT = BandRule(n_bands=2, n_valence=1)
"""What zero and edges are read from."""
WHOLE = 1e-3
"""Electrons: how far their number may be from a whole one."""


@dataclass(frozen=True)
class BandChoice:
    """Which bands are learned, counted from half filling, and how much each matters."""

    below: int = 6
    """Bands learned that the electrons would fill."""
    above: int = 8
    """Bands learned that they would leave empty."""
    inner_below: int = 3
    """How many of the filled ones count in full, from half filling down."""
    inner_above: int = 4
    """How many of the empty ones do, from half filling up: one more, since the window of a metal reaches further up."""
    outer_weight: float = 0.25
    """What the others count, 0 to 1."""
    lowest_ev: float = -30.0
    """Relative to the zero: bands with energies below are semicore, and not learned."""

    def __post_init__(self) -> None:
        for name in ("below", "above", "inner_below", "inner_above"):
            checked_whole(name, getattr(self, name), at_least=1)
        checked_number("outer_weight", self.outer_weight, at_least=0.0, at_most=1.0)
        if not self.lowest_ev <= 0.0:
            raise not_allowed("lowest_ev", self.lowest_ev, "0 eV or less")


@dataclass(frozen=True, eq=False)
class CountedBands:
    """One labelled crystal: B bands of interest on K computed k-points.

    Attributes:
        id: of the document.
        formula: reduced, in Hill order.
        pairs: of the structure in the document.
        kpoints: (K, 3) float32, fractional in the reciprocal lattice of that structure.
        energies: (K, B) float32, eV relative to E_F or mid-gap.
        weight: (K, B) float32, of each in the loss; 0 where there is no label.
        band: (B,) which bands of the model they are, from 0.
        n_nonempty: how many bands of the model are not empty, by the label.
        is_metal: by the label.
        edges: (2,) k-points of the valence maximum and of the conduction minimum; empty for metals.
        method: how the bands were computed.
        document_sha256: checksum of the document.
        crystal_weight: what the crystal counts in the loss, 1 for a label that is trusted in full.
    """

    id: str
    formula: str
    pairs: Pairs
    kpoints: Tensor
    energies: Tensor
    weight: Tensor
    band: Tensor
    n_nonempty: int
    is_metal: bool
    edges: tuple[int, ...]
    method: str = ""
    document_sha256: str = ""
    crystal_weight: float = 1.0


@dataclass(frozen=True, eq=False)
class BandLabels:
    """What was read, and what of it cannot be used."""

    bands: tuple[CountedBands, ...]
    refusals: tuple[Refusal, ...]

    @property
    def sha256(self) -> str:
        """What tells whether the same labels were read."""
        lines = sorted(f"{one.id}:{one.document_sha256}" for one in self.bands)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else ""


def read_bands(sources: Sequence[Path], choice: BandChoice, *, max_atoms: int | None = None) -> BandLabels:
    """Read every document under files and folders, each id once.

    Args:
        sources: see `bandrt_train.data.sources.folders`.
        choice: which bands.
        max_atoms: larger crystals are left out without a word; None for all.

    Raises:
        NotFoundError: ``file-not-found``.
        InputError: ``no-input``.
    """
    found: dict[str, CountedBands] = {}
    refusals = []
    for made in _read(sources, choice):
        if isinstance(made, Refusal):
            refusals.append(made)
        elif made.id in found:
            refusals.append(Refusal(made.id, made.id, "read", "duplicate-id", f"{made.id}: was there already"))
        elif max_atoms is None or made.pairs.n_atoms <= max_atoms:
            found[made.id] = made
    return BandLabels(tuple(found.values()), tuple(refusals))


def _read(sources: Sequence[Path], choice: BandChoice) -> Iterator[CountedBands | Refusal]:
    for source in find_documents(sources):
        identifier = source.id
        try:
            document, sha256 = source.read()
            identifier = document.id
            yield count_bands(document, choice, document_sha256=sha256)
        except InputError as error:
            yield Refusal(identifier, source.name, error.stage, error.code, error.message)


def count_bands(document: BandDocument, choice: BandChoice, *, document_sha256: str = "") -> CountedBands:
    """Find the bands of a document in the model.

    Raises:
        InputError: what `select_bands` raises, ``no-structure``, ``electrons-unknown``, ``electron-count-conflict`` or
            ``too-few-bands``.
    """
    crystal = document_crystal(document)
    selected, pairs = select_bands(document, LAST_AND_NEXT), find_pairs(crystal)
    n_nonempty = selected.first_band + 1
    up = pairs.n_filled - filled_bands(document, n_nonempty, selected.is_metal, pairs)  # from bands of the document to ours
    energies = np.sort(document.energies[0], axis=0) - selected.zero
    half = pairs.n_filled - up
    index = np.arange(max(0, half - choice.below, -up), min(len(energies), half + choice.above, pairs.n_bands - up))
    if not (index < half).any() or not (index >= half).any():
        raise InputError("too-few-bands", f"{document.id}: no band on one side of half filling is in the document and the model")
    chosen = energies[index].T  # (K, B)
    inner = (index >= half - choice.inner_below) & (index < half + choice.inner_above)
    trusted = (chosen.min(axis=0) > choice.lowest_ev) & (chosen < document.trusted_below - selected.zero)
    own = document.reciprocal @ crystal.lattice.T / (2.0 * np.pi)
    last, following = energies[n_nonempty - 1], energies[n_nonempty]
    return CountedBands(
        id=document.id,
        formula=crystal.hill_formula,
        pairs=pairs,
        kpoints=torch.from_numpy(document.frac_kpoints @ own).float(),
        energies=torch.from_numpy(chosen).float(),
        weight=torch.from_numpy(np.where(inner, 1.0, choice.outer_weight) * trusted).float(),
        band=torch.from_numpy(index + up),
        n_nonempty=n_nonempty + up,
        is_metal=selected.is_metal,
        edges=() if selected.is_metal else (int(last.argmax()), int(following.argmin())),
        method=document.method,
        document_sha256=document_sha256,
        crystal_weight=document.weight,
    )


def filled_bands(document: BandDocument, n_nonempty: int, is_metal: bool, pairs: Pairs) -> int:
    """How many bands of a document its electrons fill, the last perhaps by half.

    Args:
        document: the bands.
        n_nonempty: how many of them are not empty.
        is_metal: whether it is one.
        pairs: of its crystal, with the electrons that the model counts.

    Raises:
        InputError: ``electrons-unknown`` or ``electron-count-conflict``.
    """
    electrons = document.n_electrons
    if electrons is not None:
        apart = electrons - pairs.electrons  # inner shells, which hold two each
        if abs(apart - 2.0 * round(apart / 2.0)) > WHOLE:
            raise InputError(
                "electron-count-conflict",
                f"{document.id}: {electrons:g} electrons in its bands, {pairs.electrons:g} in those of the model;"
                " they may differ by filled shells, not by an odd number",
            )
        return n_filled(electrons)
    if document.n_occupied is None and is_metal:
        raise InputError("electrons-unknown", f"{document.id}: a metal whose document does not say n_electrons or n_occupied")
    if pairs.is_odd and not is_metal:
        raise InputError(
            "electron-count-conflict",
            f"{document.id}: an insulator, but {pairs.electrons:g} electrons, an odd number, in the model",
        )
    return n_nonempty if document.n_occupied is None else document.n_occupied
