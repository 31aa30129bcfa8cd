"""Prediction: from anything that is a crystal to its band structure, with one open engine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from bandrt.bands import BandStructure, Energies, in_order
from bandrt.batch import Batcher, pad
from bandrt.domain import warnings
from bandrt.engine import DEFAULT_ENGINE, open_session
from bandrt.engine.session import Session, available_cores
from bandrt.errors import InputError
from bandrt.features import Features, featurize
from bandrt.files import file_sha256
from bandrt.manifest import BandRule, Manifest
from bandrt.recipe import Recipe
from bandrt.results import Failure, Prediction, Result, Ticket

CPU_BATCH_PER_CORE, GPU_BATCH_SIZE = 4, 64
"""Crystals per run: a CPU core takes a slice of a few at a time; a GPU wants many."""
WINDOW_BATCHES = 4
"""`Engine.predict` looks this many batches ahead for crystals of one size."""


class Engine:
    """An open model together with the featurisation it was trained on; a context manager."""

    def __init__(self, session: Session, path: Path) -> None:
        self.session = session
        self.path = path

    @property
    def manifest(self) -> Manifest:
        """What the model is, what it must be fed and what it was trained on."""
        return self.session.manifest

    @property
    def recipe(self) -> Recipe:
        """The featurisation that the model was trained on."""
        return self.manifest.recipe

    @cached_property
    def sha256(self) -> str:
        """Checksum of the model file."""
        return file_sha256(self.path)

    def predict(self, items: Iterable[Any], *, batch_size: int | None = None) -> Iterator[Result]:
        """Predict band structures, lazily and in input order.

        Args:
            items: paths, CIF text, pymatgen or ASE objects, `Crystal`s; may be endless.
            batch_size: crystals per run of the model; None takes what suits the device.

        Yields:
            A `Prediction`, or a `Failure` for an input that can not be used. Anything else that goes wrong is raised.
        """
        batch_size = batch_size or default_batch_size(self.session.device)
        numbered = enumerate(items)
        while window := list(islice(numbered, WINDOW_BATCHES * batch_size)):
            results: dict[int, Result] = {}
            batcher: Batcher[Ticket] = Batcher(batch_size)
            batches: list[list[tuple[Ticket, Features]]] = []
            for order, item in window:
                ticket = _ticket(item, order)
                try:
                    features = self.featurize(item, name=ticket.path or ticket.id)
                except InputError as error:
                    results[order] = Failure.of(error, ticket)
                else:
                    batches += batcher.add(ticket, features)
            for batch in [*batches, *batcher.flush()]:
                results |= {ticket.order: result for (ticket, _), result in zip(batch, self.run(batch), strict=True)}
            yield from (results[order] for order, _ in window)

    def featurize(self, item: Any, *, name: str | None = None) -> Features:
        """Featurise by this engine's recipe, refusing a crystal it has no room for.

        Raises:
            InputError: the crystal can not be used, or ``too-many-atoms``.
        """
        features = featurize(item, self.recipe, name=name)
        check_size(features, self.manifest.profile.max_atoms, name=name or "crystal")
        return features

    def run(self, batch: Sequence[tuple[Ticket, Features]]) -> list[Result]:
        """Run the model once.

        Args:
            batch: crystals of similar size.

        Returns:
            A prediction for each, or the failure of one whose energies are not finite.

        Raises:
            EngineError: ``engine-failed``.
        """
        energies = self.session.run(pad([features for _, features in batch]))["band_energies"]  # (n_crystals, n_bands, n_kpoints)
        finite = np.isfinite(energies).all(axis=(1, 2))
        results: list[Result] = []
        for (ticket, features), one, usable in zip(batch, in_order(energies), finite, strict=True):
            if usable:
                bands = band_structure(features, one, self.manifest.bands)
                results.append(Prediction(ticket.id, ticket.path, bands, warnings(features.crystal, self.manifest.training)))
            else:
                message = f"{ticket.path or ticket.id}: the engine gave energies that are not finite numbers"
                results.append(Failure.of(InputError("non-finite-energies", message, stage="predict"), ticket))
        return results

    def close(self) -> None:
        """Free the model."""
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


def load(path: str | os.PathLike[str] | None = None, device: str = "cpu", *, threads: int | None = None) -> Engine:
    """Open an engine.

    Args:
        path: a model file; None opens the one that ships with this package.
        device: ``cpu``, ``cuda`` or ``cuda:N``; it is used or refused, never replaced.
        threads: CPU threads; None takes every core this process may use.

    Raises:
        EngineError: the model can not be opened or the device not used.
        ManifestError: the model carries no manifest, or not one that describes it.
        MissingPackageError: the backend is not installed.
    """
    file = DEFAULT_ENGINE if path is None else Path(path)
    return Engine(open_session(file, device=device, threads=threads), file)


def band_structure(features: Features, energies: Energies, rule: BandRule) -> BandStructure:
    """Put energies, (n_bands, n_kpoints) in eV, on the path of the crystal they were predicted for."""
    kpath = features.kpath
    return BandStructure(
        energies=energies,
        frac_kpoints=kpath.frac_kpoints,
        kpoint_distance=kpath.kpoint_distance,
        labels=kpath.labels,
        label_indices=kpath.label_indices,
        crystal=features.crystal,
        space_group=features.space_group,
        space_group_symbol=features.space_group_symbol,
        scheme=kpath.scheme,
        rule=rule,
    )


def default_batch_size(device: str) -> int:
    """Crystals per run that suit a device."""
    return CPU_BATCH_PER_CORE * available_cores() if device == "cpu" else GPU_BATCH_SIZE


def check_size(features: Features, max_atoms: int | None, *, name: str) -> None:
    """Refuse a crystal that a model has no room for.

    Raises:
        InputError: ``too-many-atoms``.
    """
    n_atoms = features.crystal.n_atoms
    if max_atoms is not None and n_atoms > max_atoms:
        raise InputError(
            "too-many-atoms",
            f"{name}: {n_atoms} atoms in the primitive cell, this engine holds at most {max_atoms};"
            f" export it again with --max-atoms {n_atoms}",
            stage="batch",
        )


def _ticket(item: Any, order: int) -> Ticket:
    if isinstance(item, os.PathLike) or (isinstance(item, str) and "\n" not in item):
        return Ticket(order, Path(item).stem, os.fspath(item))
    return Ticket(order, f"item-{order}", "")
