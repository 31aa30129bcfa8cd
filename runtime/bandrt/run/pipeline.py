"""The pipeline: sources are read and featurised, batched by size, run and stored, all at the same time and in bounded memory.

Reading and featurising happen in worker processes, the engine runs in a thread, and this process batches and writes. Which crystals
share a batch depends on the inputs alone, not on the timing of workers.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from types import FrameType, TracebackType
from typing import Any, Literal, NamedTuple, Self

from bandrt.batch import Batcher
from bandrt.cores import available_cores
from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.features import CHUNK, Features
from bandrt.outcomes import outcome_of
from bandrt.predict import Engine, featurize_inputs
from bandrt.recipe import Recipe
from bandrt.results.prediction import Failure, Result, Ticket
from bandrt.results.store import Store
from bandrt.run.engine_thread import Answer, EngineThread
from bandrt.run.workers import WorkerDied, WorkerPool
from bandrt.sources import Source
from bandrt.watch import watched

TIMEOUT_SECONDS = 20.0
"""For one crystal; the slowest of a hundred thousand takes a tenth of it."""
MAX_ATOMS_ON_CPU = 600
"""Of the primitive cell of a crystal that is predicted on the CPU unless more is asked for: it takes about 1.1 GB."""
CHUNK_BYTES = 8 * 1024 * 1024
"""Of texts that travel to a worker together, unless one alone is larger."""
CHUNKS_PER_WORKER = 3
"""Chunks in flight for each worker."""
ADVICE = "what was predicted is kept: go on with --resume"
"""What to do when a worker died."""
BATCHES_IN_FLIGHT = 2
"""Batches that wait for the engine; it may answer the first of two only when it has both."""
CORES_PER_WORKER_ON_CPU = 8
"""A model on the CPU takes so much longer than featurising that one worker feeds this many cores."""

STAGES = ("read", "featurize", "engine", "write")
"""What the time of a run is spent on; they overlap."""

Chunk = list[tuple[int, Source]]
"""Sources that are featurised together, each with its place among the inputs."""
Status = Literal["running", "finished", "interrupted", "stopped"]


@dataclass
class RunReport:
    """What a run did, up to now.

    Attributes:
        status: ``stopped`` means by an error.
        expected: inputs there are; None where it takes too long to count the rows of large tables and archives.
        found: inputs met, those skipped included.
        skipped: inputs that an earlier run had dealt with.
        predicted: predictions of this run.
        failed: failures of this run.
        total_predicted: predictions in the output folder.
        failure_codes: failures in the output folder by code.
        warning_codes: predictions in the output folder with a warning, by its code.
        seconds: by the names in `STAGES`, and wall, the clock on the wall. Read and featurize add up over the workers, engine
            includes padding and transfers, write is the output folder.
    """

    status: Status = "running"
    expected: int | None = None
    found: int = 0
    skipped: int = 0
    predicted: int = 0
    failed: int = 0
    total_predicted: int = 0
    failure_codes: Counter[str] = field(default_factory=Counter)
    warning_codes: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys((*STAGES, "wall"), 0.0))

    @property
    def total_failed(self) -> int:
        """Failures in the output folder."""
        return self.failure_codes.total()

    @property
    def rate(self) -> float:
        """Predictions of this run per second."""
        return self.predicted / self.seconds["wall"] if self.seconds["wall"] else 0.0


class FeaturizedChunk(NamedTuple):
    """What a worker gives back."""

    features: list[tuple[Ticket, Features]]
    failures: list[tuple[Ticket, Failure]]
    read_seconds: float
    featurize_seconds: float


def default_max_atoms(device: str) -> int | None:
    """Atoms of the largest primitive cell that is predicted unless more is asked for; a GPU says itself what it holds."""
    return MAX_ATOMS_ON_CPU if device == "cpu" else None


def default_workers(device: str) -> int:
    """Worker processes that keep a device fed."""
    cores = available_cores()
    return max(1, cores // CORES_PER_WORKER_ON_CPU) if device == "cpu" else cores


def run(
    sources: Iterable[Source],
    engine: Engine,
    store: Store,
    *,
    workers: int,
    batch_size: int,
    report: RunReport,
    timeout: float = TIMEOUT_SECONDS,
    max_atoms: int | None = None,
    on_progress: Callable[[RunReport], None] = lambda report: None,
) -> None:
    """Predict every source that the store has not dealt with; an interrupt ends the run after what is in flight.

    Args:
        sources: what to predict.
        engine: the open engine.
        store: the open output folder.
        workers: processes that read and featurise; 0 works in this process, where a crystal that never ends is not given up.
        batch_size: crystals per run of the engine.
        report: kept up to date while the run goes on.
        timeout: seconds after which a crystal is given up that a worker does not get on with.
        max_atoms: of the largest primitive cell for which there shall be memory; None: any.
        on_progress: called after every batch.

    Raises:
        BandrtError: ``worker-died``, or what the engine raises. What was predicted before is in the store.
    """
    started = time.perf_counter()
    batcher: Batcher[Ticket] = Batcher(batch_size)
    in_flight: deque[Future[Answer]] = deque()

    def tick() -> None:
        report.seconds["wall"] = time.perf_counter() - started
        report.total_predicted = store.n_predicted
        report.failure_codes = store.failure_codes
        report.warning_codes = store.warning_codes
        on_progress(report)

    def collect(most: int) -> None:
        while len(in_flight) > most:
            results, seconds = in_flight.popleft().result()
            report.seconds["engine"] += seconds
            _store(results, store, report)
            tick()

    def submit(batch: list[tuple[Ticket, Features]]) -> None:
        in_flight.append(runner.submit(batch))
        collect(BATCHES_IN_FLIGHT)

    wanted = _not_done(sources, store, report)
    featurize = partial(_featurize_chunk, recipe=engine.recipe, max_atoms=engine.manifest.profile.max_atoms, memory_atoms=max_atoms)
    stream = _featurized(wanted, featurize, workers, timeout)
    with Interrupt() as interrupt, EngineThread(engine) as runner, closing(stream):
        for chunk in stream:
            report.seconds["read"] += chunk.read_seconds
            report.seconds["featurize"] += chunk.featurize_seconds
            _store(chunk.failures, store, report)
            for ticket, features in chunk.features:
                for batch in batcher.add(ticket, features):
                    submit(batch)
            tick()
            if interrupt.requested:
                break
        else:
            for batch in batcher.flush():
                submit(batch)
                if interrupt.requested:
                    break
        runner.finish()
        collect(0)
        store.commit()
        tick()
        report.status = "interrupted" if interrupt.requested else "finished"


class Interrupt:
    """Turns the first Ctrl-C, or request to terminate, into a flag, so that no file is left half written; the second raises."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


def _store(results: Sequence[tuple[Ticket, Result]], store: Store, report: RunReport) -> None:
    started = time.perf_counter()
    for ticket, result in results:
        if isinstance(result, Failure):
            store.fail(result)
            report.failed += 1
        else:
            store.add(ticket, result)
            report.predicted += 1
    report.seconds["write"] += time.perf_counter() - started


def _not_done(sources: Iterable[Source], store: Store, report: RunReport) -> Iterator[tuple[int, Source]]:
    for order, source in enumerate(sources):
        report.found += 1
        if source.id in store.done:
            report.skipped += 1
        else:
            yield order, source


def _featurized(
    sources: Iterator[tuple[int, Source]], featurize: Callable[[Chunk], FeaturizedChunk], workers: int, timeout: float
) -> Generator[FeaturizedChunk, None, None]:
    with WorkerPool(workers, ahead=CHUNKS_PER_WORKER, advice=ADVICE, timeout=timeout) as pool:
        yield from pool.map(featurize, _chunks(sources), rescue=partial(_redone, pool, featurize, timeout))


def _chunks(sources: Iterable[tuple[int, Source]]) -> Iterator[Chunk]:
    """Sources that are featurised together: up to `CHUNK`, and up to `CHUNK_BYTES` of text."""
    chunk: Chunk = []
    size = 0
    for order, source in sources:
        own = len(source.content) if isinstance(source.content, str) else 0
        if chunk and (len(chunk) == CHUNK or size + own > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append((order, source))
        size += own
    if chunk:
        yield chunk


def _featurize_chunk(chunk: Chunk, recipe: Recipe, max_atoms: int | None, memory_atoms: int | None) -> FeaturizedChunk:
    """Read and featurise some sources; runs in a worker."""
    started = time.perf_counter()
    crystals = [_without_traceback(outcome_of(source.read)) for _, source in watched(chunk)]
    read = time.perf_counter()
    tickets = [_ticket(order, source) for order, source in chunk]
    done = featurize_inputs(tickets, crystals, recipe, max_atoms=max_atoms, memory_atoms=memory_atoms)
    return FeaturizedChunk(done.features, done.failures, read - started, time.perf_counter() - read)


def _ticket(order: int, source: Source) -> Ticket:
    return Ticket(order, source.id, source.path)


def _without_traceback(outcome: Crystal | InputError) -> Crystal | InputError:
    """An outcome that does not hold on to the text that was read."""
    if isinstance(outcome, InputError):
        outcome.__traceback__ = outcome.__cause__ = outcome.__context__ = None
    return outcome


def _redone(
    pool: WorkerPool, featurize: Callable[[Chunk], FeaturizedChunk], timeout: float, chunk: Chunk, death: WorkerDied
) -> FeaturizedChunk:
    """What becomes of a chunk at which a worker died: the crystal it was busy with fails, the others are done again.

    A crystal at which a worker was killed is tried once more, alone: it may have been another that took the memory.
    """
    if death.place is None:  # the step was one for the whole chunk
        alone, others, failed = ([[one] for one in chunk], [], []) if len(chunk) > 1 or not death.timed_out else ([], [], chunk)
    else:
        guilty = [chunk[death.place]]
        others = [chunk[: death.place] + chunk[death.place + 1 :]] if len(chunk) > 1 else []
        alone, failed = ([], guilty) if death.timed_out else ([guilty], [])
    parts = [
        *pool.map(featurize, alone, rescue=partial(_failed, timeout)),
        *pool.map(featurize, others, rescue=partial(_redone, pool, featurize, timeout)),
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
    tickets = [_ticket(order, source) for order, source in chunk]
    return FeaturizedChunk(
        [], [(ticket, Failure.of(_given_up(ticket.path, timeout, death), ticket)) for ticket in tickets], 0.0, 0.0
    )


def _given_up(path: str, timeout: float, death: WorkerDied) -> InputError:
    if death.timed_out:
        return InputError("timed-out", f"{path}: was not read and featurised within {timeout:g} s; --timeout gives more")
    return InputError("crashed", f"{path}: the process that read and featurised it was killed, by its memory or by a library")
