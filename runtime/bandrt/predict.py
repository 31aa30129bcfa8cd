"""Prediction: from anything that is a crystal to its band structure, with one open engine."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from bandrt.bands.band_structure import BandStructure, Energies, in_order
from bandrt.batch import Batcher
from bandrt.contract import BAND_ENERGIES, UNCERTAINTY
from bandrt.domain import warnings
from bandrt.engine import DEFAULT_ENGINE, open_session
from bandrt.engine.memory import Evaluator, Row
from bandrt.engine.session import Session, available_cores
from bandrt.errors import EngineError, InputError
from bandrt.features import Features, featurize_many
from bandrt.files import file_sha256
from bandrt.manifest import BandRule, Manifest
from bandrt.outcomes import only
from bandrt.recipe import Recipe
from bandrt.results.prediction import Failure, Prediction, Result, Ticket

CPU_BATCH_PER_CORE, GPU_BATCH_SIZE = 4, 64
"""Crystals per run: a CPU core takes a slice of a few at a time; a GPU wants many."""
WINDOW_BATCHES = 4
"""`Engine.predict` looks this many batches ahead for crystals of one size."""


class Engine:
    """An open model together with the featurisation it was trained on; a context manager."""

    def __init__(self, session: Session, path: Path) -> None:
        self.session = session
        self.path = path
        self._evaluator = Evaluator(session)

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
            A `Prediction`, or a `Failure` for an input that cannot be used. Anything else that goes wrong is raised.
        """
        batch_size = batch_size or default_batch_size(self.session.device)
        numbered = enumerate(items)
        while window := list(islice(numbered, WINDOW_BATCHES * batch_size)):
            results: dict[int, Result] = {}
            batcher: Batcher[Ticket] = Batcher(batch_size)
            batches: list[list[tuple[Ticket, Features]]] = []
            tickets = [_ticket(item, order) for order, item in window]
            outcomes = self.featurize_many([item for _, item in window], names=[ticket.path or ticket.id for ticket in tickets])
            for ticket, outcome in zip(tickets, outcomes, strict=True):
                if isinstance(outcome, InputError):
                    results[ticket.order] = Failure.of(outcome, ticket)
                else:
                    batches += batcher.add(ticket, outcome)
            batches += batcher.flush()
            for batch, found in zip(batches, self.run_many(batches), strict=True):
                results |= {ticket.order: result for (ticket, _), result in zip(batch, found, strict=True)}
            yield from (results[order] for order, _ in window)

    def featurize(self, item: Any, *, name: str | None = None) -> Features:
        """Featurise by this engine's recipe, refusing a crystal it has no room for.

        Raises:
            InputError: the crystal cannot be used, or ``too-many-atoms``.
        """
        return only(self.featurize_many([item], names=[name]))

    def featurize_many(self, items: Sequence[Any], *, names: Sequence[str | None]) -> list[Features | InputError]:
        """Do as `featurize` for each of several items, faster; an error is given back in the place of the features."""
        outcomes = featurize_many(items, self.recipe, names=names)
        max_atoms = self.manifest.profile.max_atoms
        return [within_size(outcome, max_atoms, name=name or "crystal") for outcome, name in zip(outcomes, names, strict=True)]

    def run_many(self, batches: Iterable[Sequence[tuple[Ticket, Features]]]) -> Iterator[list[Result]]:
        """Run the model on batches, lazily and in order; a GPU copies one while it computes another.

        Args:
            batches: crystals of similar size; one batch more may be taken than was answered.

        Yields:
            For each batch a prediction of each crystal, or the failure of one whose energies are not finite, or which does not fit
            into memory even alone. What does not fit together is taken in smaller batches.

        Raises:
            EngineError: ``engine-failed``, after the results of the batches before.
        """
        taken: deque[Sequence[tuple[Ticket, Features]]] = deque()

        def crystals() -> Iterator[list[Features]]:
            for batch in batches:
                taken.append(batch)
                yield [features for _, features in batch]

        for rows in self._evaluator.run_many(crystals()):
            yield [self._result(ticket, features, row) for (ticket, features), row in zip(taken.popleft(), rows, strict=True)]

    def _result(self, ticket: Ticket, features: Features, row: Row) -> Result:
        name = ticket.path or ticket.id
        if isinstance(row, EngineError):
            return Failure.of(InputError(row.code, f"{name}: {row.message}", stage="predict"), ticket)
        energies = row[BAND_ENERGIES]  # (n_bands, n_kpoints)
        uncertainty = float(row[UNCERTAINTY]) if UNCERTAINTY in row else None
        if not (np.isfinite(energies).all() and (uncertainty is None or math.isfinite(uncertainty))):
            message = f"{name}: the engine gave energies that are not finite numbers"
            return Failure.of(InputError("non-finite-energies", message, stage="predict"), ticket)
        bands = band_structure(features, in_order(energies), self.manifest.bands)
        return Prediction(ticket.id, ticket.path, bands, warnings(features.crystal, self.manifest.training), uncertainty)

    def close(self) -> None:
        """Free the model."""
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


def load(path: str | os.PathLike[str] | None = None, device: str | None = None, *, threads: int | None = None) -> Engine:
    """Open an engine.

    Args:
        path: a model file; None opens the one that ships with this package.
        device: ``cpu``, ``cuda`` or ``cuda:N``, used or refused, never replaced; None takes the CPU for an ONNX file, the first GPU
            for a plan.
        threads: CPU threads; None takes every core this process may use.

    Raises:
        EngineError: the model cannot be opened or the device not used.
        UsageError: ``unknown-device``.
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


def within_size(outcome: Features | InputError, max_atoms: int | None, *, name: str) -> Features | InputError:
    """Give back the features of a crystal, or ``too-many-atoms`` if a model has no room for it; errors as they are."""
    if isinstance(outcome, InputError) or max_atoms is None or outcome.crystal.n_atoms <= max_atoms:
        return outcome
    n_atoms = outcome.crystal.n_atoms
    return InputError(
        "too-many-atoms",
        f"{name}: {n_atoms} atoms in the primitive cell, this engine holds at most {max_atoms};"
        f" export it again with --max-atoms {n_atoms}",
        stage="batch",
    )


def _ticket(item: Any, order: int) -> Ticket:
    if isinstance(item, os.PathLike) or (isinstance(item, str) and "\n" not in item):
        return Ticket(order, Path(item).stem, os.fspath(item))
    return Ticket(order, f"item-{order}", "")
