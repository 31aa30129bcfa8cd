"""Featurised chunks: what a worker makes of the sources of a chunk, and what becomes of a chunk at which a worker died."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.features import Features
from bandrt.featurized import featurize_inputs
from bandrt.outcomes import outcome_of
from bandrt.parcel import Parcel
from bandrt.results.prediction import Failure, Ticket
from bandrt.routes import Route
from bandrt.run.chunks import Chunk
from bandrt.run.workers import WorkerDied, WorkerPool
from bandrt.sources import Source
from bandrt.watch import watched


class FeaturizedChunk(NamedTuple):
    """What a worker gives back."""

    features: list[tuple[Ticket, Features]]
    failures: list[tuple[Ticket, Failure]]
    read_seconds: float
    featurize_seconds: float

    def __reduce__(self) -> tuple[Callable[..., FeaturizedChunk], tuple[object, ...]]:
        """Travel as a parcel, which takes a third of the time."""
        tickets = [ticket for ticket, _ in self.features]
        return _unpacked, (tickets, Parcel([features for _, features in self.features]), *self[1:])


def _unpacked(
    tickets: Sequence[Ticket], features: Parcel[Features], failures: list[tuple[Ticket, Failure]], *seconds: float
) -> FeaturizedChunk:
    """A chunk that has arrived."""
    return FeaturizedChunk(list(zip(tickets, features, strict=True)), failures, *seconds)


def ticket_of(order: int, source: Source, input_sha256: str) -> Ticket:
    """The ticket of a source.

    Args:
        order: its place among the inputs.
        source: what is to be read.
        input_sha256: checksum of its text; empty where nobody asks for it yet.
    """
    return Ticket(order, source.id, source.path, (), input_sha256, tuple(source.kept.items()))


def featurize_chunk(chunk: Chunk, route: Route, memory_atoms: int | None) -> FeaturizedChunk:
    """Read and featurise some sources; runs in a worker.

    Args:
        chunk: which.
        route: how their crystals come to the engine that predicts them.
        memory_atoms: of the largest primitive cell for which there shall be memory; None: any.
    """
    if not chunk:
        return FeaturizedChunk([], [], 0.0, 0.0)
    started = time.perf_counter()
    tickets: list[Ticket] = []
    crystals: list[Crystal | InputError] = []
    for order, source in watched(chunk):
        checksum, read = source.checked()
        tickets.append(ticket_of(order, source, checksum))
        crystals.append(_without_traceback(outcome_of(read)))
    ready = time.perf_counter()
    done = featurize_inputs(tickets, crystals, route, memory_atoms=memory_atoms)
    return FeaturizedChunk(done.features, done.failures, ready - started, time.perf_counter() - ready)


def _without_traceback(outcome: Crystal | InputError) -> Crystal | InputError:
    """An outcome that does not hold on to the text that was read."""
    if isinstance(outcome, InputError):
        outcome.__traceback__ = outcome.__cause__ = outcome.__context__ = None
    return outcome


def redone(
    pool: WorkerPool, featurize: Callable[[Chunk], FeaturizedChunk], timeout: float, chunk: Chunk, death: WorkerDied
) -> FeaturizedChunk:
    """What becomes of a chunk at which a worker died: the crystal it was busy with fails, the others are done again.

    A crystal at which a worker was killed is tried once more, alone: it may have been another that took the memory.

    Args:
        pool: of which a worker died.
        featurize: what the workers do with a chunk.
        timeout: seconds after which they give up a crystal.
        chunk: at which it died.
        death: how.
    """
    if death.place is None:  # the step was one for the whole chunk
        alone, others, failed = ([[one] for one in chunk], [], []) if len(chunk) > 1 or not death.timed_out else ([], [], chunk)
    else:
        guilty = [chunk[death.place]]
        others = [chunk[: death.place] + chunk[death.place + 1 :]] if len(chunk) > 1 else []
        alone, failed = ([], guilty) if death.timed_out else ([guilty], [])
    parts = [
        *pool.map(featurize, alone, rescue=partial(_failed, timeout)),
        *pool.map(featurize, others, rescue=partial(redone, pool, featurize, timeout)),
        *([_failed(timeout, failed, death)] if failed else []),
    ]
    return FeaturizedChunk(
        sorted((one for part in parts for one in part.features), key=lambda one: one[0].order),
        sorted((one for part in parts for one in part.failures), key=lambda one: one[0].order),
        sum(part.read_seconds for part in parts),
        sum(part.featurize_seconds for part in parts),
    )


def _failed(timeout: float, chunk: Chunk, death: WorkerDied) -> FeaturizedChunk:
    """The failures of crystals that workers died at, each alone."""
    tickets = [ticket_of(order, source, source.checked()[0]) for order, source in chunk]
    return FeaturizedChunk(
        [], [(ticket, Failure.of(_given_up(ticket.path, timeout, death), ticket)) for ticket in tickets], 0.0, 0.0
    )


def _given_up(path: str, timeout: float, death: WorkerDied) -> InputError:
    if death.timed_out:
        return InputError("timed-out", f"{path}: was not read and featurised within {timeout:g} s; --timeout gives more")
    return InputError("crashed", f"{path}: the process that read and featurised it was killed, by its memory or by a library")
