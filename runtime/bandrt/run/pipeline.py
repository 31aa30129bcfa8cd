"""The pipeline: sources are read and featurised, batched by size, run and stored, all at the same time and in bounded memory.

Reading and featurising happen in worker processes, the engine runs in a thread, and this process batches and writes. Which crystals
share a batch depends on the inputs alone: not on the timing of workers, nor on where an earlier run was stopped, since crystals
that are done take their place among the others. What a resumed run predicts is therefore, to the last bit, what one from nothing
predicts.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from bandrt.batch import Batcher, is_centred
from bandrt.cores import available_cores
from bandrt.crystal import Crystal
from bandrt.engine.session import Compiling
from bandrt.engine.several import n_devices
from bandrt.errors import InputError
from bandrt.features import Features
from bandrt.outcomes import outcome_of
from bandrt.parcel import Parcel
from bandrt.predict import Engine, featurize_inputs
from bandrt.quoting import printable, shortened
from bandrt.results.prediction import Failure, Result, Ticket
from bandrt.results.writer import Store
from bandrt.routes import Route
from bandrt.run.chunks import Chunk, chunked
from bandrt.run.engine_thread import Answer, EngineThread
from bandrt.run.interrupt import Interrupt, Interrupted
from bandrt.run.large import is_slow, slow_said
from bandrt.run.padding import Padding
from bandrt.run.shard import WHOLE, Shard
from bandrt.run.workers import WorkerDied, WorkerPool
from bandrt.sources import Source
from bandrt.watch import watched

TIMEOUT_SECONDS = 20.0
"""For one crystal; the slowest of a hundred thousand takes a tenth of it."""
MAX_ATOMS_ON_CPU = 600
"""Of the primitive cell of a crystal that is predicted on the CPU unless more is asked for: it takes about 1.1 GB."""
CHUNKS_PER_WORKER = 3
"""Chunks in flight for each worker."""
ADVICE = "what was predicted is kept: go on with --resume"
"""What to do when a worker died."""
BATCHES_IN_FLIGHT = 2
"""Batches that wait for each device of the engine; it may answer the first of two only when it has both."""
TICK_SECONDS = 1.0
"""Between two times that progress is told while the engine is waited for."""
STOP_SECONDS = 1.0
"""Time for the engine to end the batch that it is at, when a run is asked to stop."""
CORES_PER_WORKER_ON_CPU = 8
"""A model on the CPU takes so much longer than featurising that one worker feeds this many cores."""

STAGES = ("read", "featurize", "engine", "write")
"""What the time of a run is spent on; they overlap."""

Status = Literal["running", "finished", "interrupted", "stopped"]


@dataclass
class RunReport:
    """What a run did, up to now.

    Attributes:
        status: ``stopped`` means by an error.
        expected: inputs there are; None where it takes too long to count the rows of large tables and archives, and where a run
            that had finished is gone on with, which passes over most.
        found: inputs met, those skipped included; of a shard, those in it.
        elsewhere: inputs met that are in other shards.
        skipped: inputs that an earlier run had dealt with.
        predicted: predictions of this run.
        failed: failures of this run.
        set_aside: predictions of earlier runs that this one no longer counts: their inputs have changed, or are gone.
        total_predicted: predictions in the output folder.
        failure_codes: failures in the output folder by code.
        first_messages: of the first failure of this run with each code, what it says.
        warning_codes: predictions in the output folder with a warning, by its code.
        lacking: columns that shall be kept and that no input has had up to now.
        compiling: what the engine compiles something for at present, such as ``64 crystals of 16 atoms``.
        signal: the number of the signal that interrupted it.
        padding: of the batches of this run.
        seconds: by the names in `STAGES`, and wall, the clock on the wall. Read and featurize add up over the workers, engine
            includes padding and transfers, write is the output folder.
    """

    status: Status = "running"
    expected: int | None = None
    found: int = 0
    elsewhere: int = 0
    skipped: int = 0
    predicted: int = 0
    failed: int = 0
    set_aside: int = 0
    total_predicted: int = 0
    failure_codes: Counter[str] = field(default_factory=Counter)
    first_messages: dict[str, str] = field(default_factory=dict)
    warning_codes: Counter[str] = field(default_factory=Counter)
    lacking: list[str] = field(default_factory=list)
    compiling: str | None = None
    signal: int | None = None
    padding: Padding = field(default_factory=Padding)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys((*STAGES, "wall"), 0.0))

    engine_busy: bool = False
    """Whether the engine was left at a batch, and must not be closed yet."""

    def take_totals(self, store: Store) -> None:
        """Count what is in the output folder."""
        self.total_predicted, self.set_aside = store.n_predicted, store.n_set_aside
        self.failure_codes, self.warning_codes = store.failure_codes, store.warning_codes

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

    def __reduce__(self) -> tuple[Callable[..., FeaturizedChunk], tuple[object, ...]]:
        """Travel as a parcel, which takes a third of the time."""
        tickets = [ticket for ticket, _ in self.features]
        return _unpacked, (tickets, Parcel([features for _, features in self.features]), *self[1:])


def _unpacked(
    tickets: Sequence[Ticket], features: Parcel[Features], failures: list[tuple[Ticket, Failure]], *seconds: float
) -> FeaturizedChunk:
    """A chunk that has arrived."""
    return FeaturizedChunk(list(zip(tickets, features, strict=True)), failures, *seconds)


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
    searched: Sequence[Path] = (),
    shard: Shard = WHOLE,
    interrupt: Interrupt | None = None,
    on_progress: Callable[[RunReport], None] = lambda report: None,
) -> None:
    """Predict every source that the store has not dealt with.

    A request to stop ends the run within seconds: what the engine has answered is kept, what it is at is not waited for long.

    Args:
        sources: what to predict.
        engine: the open engine.
        store: the open output folder.
        workers: processes that read and featurise; 0 works in this process, where a crystal that never ends is not given up.
        batch_size: crystals per run of the engine.
        report: kept up to date while the run goes on.
        timeout: seconds after which a crystal is given up that a worker does not get on with.
        max_atoms: of the largest primitive cell for which there shall be memory; None: any.
        searched: files and folders that the sources are all of.
        shard: the share of the sources that is predicted; the others only count.
        interrupt: what raises requests to stop; by default one for as long as this runs.
        on_progress: called after every batch.

    Raises:
        BandrtError: ``worker-died``, or what the engine raises. What was predicted before is in the store.
    """
    with nullcontext(interrupt) if interrupt else Interrupt() as stop:
        state = _Run(engine, store, report, Batcher(batch_size, holds=engine.holds), stop, on_progress)
        featurize = partial(_featurize_chunk, route=engine.route, memory_atoms=max_atoms)
        stream = _featurized(_Inputs(sources, shard, store, report), featurize, workers, timeout)
        with EngineThread(engine) as runner, closing(stream):
            try:
                stop.check()
                for chunk, kept in stream:
                    stop.check()
                    state.take(chunk, kept, runner)
                state.finish(runner)
                stop.settle()
            except (Interrupted, Exception):
                if stop.number is None:
                    raise
                stop.settle()  # an error now comes of the request: native code makes others of the exception it sees
                report.status, report.signal = "interrupted", stop.number
                report.engine_busy = not runner.leave(STOP_SECONDS)
                state.collect_answered()
        if report.status == "interrupted":
            store.commit()
        else:
            store.finish(searched)
            report.status = "finished"
        state.tick()


class _Kept(NamedTuple):
    """A crystal that an earlier run predicted, in its place among those that wait for a batch."""

    source: Source
    atomic_numbers: range
    """As long as those of the crystal: all that a batcher wants to know, but for the lane."""
    lane: bool
    """Whether the engine handed it over."""


_Members = list[tuple[Ticket, Features | _Kept]]


class _Run:
    """From featurised chunks over batches into the store."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        report: RunReport,
        batcher: Batcher[Ticket, Features | _Kept],
        stop: Interrupt,
        on_progress: Callable[[RunReport], None],
    ) -> None:
        self._engine, self._store, self._report, self._batcher, self._stop = engine, store, report, batcher, stop
        self._on_progress = on_progress
        self._started = time.perf_counter()
        self._told_of_large = False
        self._in_flight: deque[tuple[Future[Answer], frozenset[int]]] = deque()  # with the orders of crystals done before

    def take(self, chunk: FeaturizedChunk, kept: _Members, runner: EngineThread) -> None:
        """Take a chunk, and the crystals among it that are done."""
        self._report.seconds["read"] += chunk.read_seconds
        self._report.seconds["featurize"] += chunk.featurize_seconds
        with self._stop.shielded():
            self._keep(chunk.failures, frozenset())
        for ticket, one in sorted([*chunk.features, *kept], key=lambda entry: entry[0].order):
            lane = one.lane if isinstance(one, _Kept) else self._engine.route.leaves(one.crystal)
            for batch in self._batcher.add(ticket, one, lane=lane):
                self._submit(batch, runner)
        self.tick()

    def finish(self, runner: EngineThread) -> None:
        """Run what is held, and wait for all."""
        for batch in self._batcher.flush():
            self._submit(batch, runner)
        runner.finish()
        self._collect(0)

    def collect_answered(self) -> None:
        """Keep what the engine has answered."""
        while self._in_flight and self._in_flight[0][0].done() and self._in_flight[0][0].exception() is None:
            self._keep_next()

    def tick(self) -> None:
        """Bring the report up to date."""
        report, store = self._report, self._store
        report.seconds["wall"] = time.perf_counter() - self._started
        report.take_totals(store)
        session = self._engine.session
        report.compiling = session.compiling if isinstance(session, Compiling) else None
        self._on_progress(report)

    def _submit(self, batch: _Members, runner: EngineThread) -> None:
        done = frozenset(ticket.order for ticket, one in batch if isinstance(one, _Kept))
        if len(done) == len(batch):
            return
        members = self._featurized(batch)
        self._look_at(members)
        self._in_flight.append((runner.submit(members), done))
        self._collect(BATCHES_IN_FLIGHT * n_devices(self._engine.session.device))

    def _look_at(self, members: Sequence[tuple[Ticket, Features]]) -> None:
        """Count what a batch is padded to; say once, before the engine is at one, that its crystals take minutes."""
        if not members:
            return
        manifest = self._engine.manifest_of(self._engine.route.leaves(members[0][1].crystal))
        sizes = [len(one.atomic_numbers) for _, one in members]
        self._report.padding.add(manifest, [(size, is_centred(one)) for size, (_, one) in zip(sizes, members, strict=True)])
        n_atoms = max(sizes)
        if not self._told_of_large and is_slow(manifest, self._engine.session.device, n_atoms):
            ticket, _ = members[sizes.index(n_atoms)]
            logging.getLogger(__name__).warning("%s", slow_said(shortened(printable(ticket.id)), n_atoms))
            self._told_of_large = True

    def _featurized(self, batch: _Members) -> list[tuple[Ticket, Features]]:
        """The members of a batch, of which those that are done are featurised once more: energies depend on the company."""
        members: list[tuple[Ticket, Features]] = []
        for ticket, one in batch:
            if not isinstance(one, _Kept):
                members.append((ticket, one))
                continue
            again = featurize_inputs([ticket], [outcome_of(one.source.read)], self._engine.route)
            members += again.features
        return members

    def _collect(self, most: int) -> None:
        while len(self._in_flight) > most:
            while not wait([self._in_flight[0][0]], TICK_SECONDS).done:
                self.tick()
            self._in_flight[0][0].result()
            with self._stop.shielded():
                self._keep_next()
            self.tick()

    def _keep_next(self) -> None:
        answer, done = self._in_flight.popleft()
        results, seconds = answer.result()
        self._report.seconds["engine"] += seconds
        self._keep(results, done)

    def _keep(self, results: Sequence[tuple[Ticket, Result]], done: frozenset[int]) -> None:
        """Store results; those of inputs that are done already take the place of what is there, failures apart."""
        started = time.perf_counter()
        predictions = [(ticket, result) for ticket, result in results if not isinstance(result, Failure)]
        failures = [(ticket, result) for ticket, result in results if isinstance(result, Failure) and ticket.order not in done]
        for ticket, failure in failures:
            self._store.fail(ticket, failure)
            self._report.first_messages.setdefault(failure.code, failure.message)
        if predictions:
            self._store.add_batch(predictions)
        self._report.failed += len(failures)
        self._report.predicted += sum(ticket.order not in done for ticket, _ in predictions)
        self._report.seconds["write"] += time.perf_counter() - started


class _Inputs:
    """The inputs of a run, chunk by chunk: what is to be done, and what is done."""

    def __init__(self, sources: Iterable[Source], shard: Shard, store: Store, report: RunReport) -> None:
        self._sources = sources
        self._shard = shard
        self._store = store
        self._report = report
        self.kept: deque[_Members] = deque()
        """Of the chunks that were given and not taken back yet, in order."""

    def chunks(self) -> Iterator[list[tuple[int, Source]]]:
        """What is to be done; a chunk may be empty."""
        fresh = self._store.is_empty
        for inputs in chunked(self._numbered()):
            self._report.found += len(inputs)
            todo: list[tuple[int, Source]] = []
            kept: _Members = []
            for order, source in inputs:
                ticket = _ticket(order, source, "" if fresh else source.checked()[0])
                found = None if fresh else self._store.kept(ticket, source.notes_now)
                if found is None:
                    todo.append((order, source))
                    continue
                self._report.skipped += 1
                if found.n_atoms:
                    kept.append((ticket, _Kept(source, range(found.n_atoms), found.handed_over)))
            self.kept.append(kept)
            yield todo

    def _numbered(self) -> Iterator[tuple[int, Source]]:
        """Those in the shard, each with its place among all."""
        for order, source in enumerate(self._sources):
            if self._shard.has(source):
                yield order, source
            else:
                self._report.elsewhere += 1


def _featurized(
    inputs: _Inputs, featurize: Callable[[Chunk], FeaturizedChunk], workers: int, timeout: float
) -> Generator[tuple[FeaturizedChunk, _Members], None, None]:
    with WorkerPool(workers, ahead=CHUNKS_PER_WORKER, advice=ADVICE, timeout=timeout) as pool:
        for chunk in pool.map(featurize, inputs.chunks(), rescue=partial(_redone, pool, featurize, timeout)):
            yield chunk, inputs.kept.popleft()


def _ticket(order: int, source: Source, input_sha256: str) -> Ticket:
    return Ticket(order, source.id, source.path, (), input_sha256, tuple(source.kept.items()))


def _featurize_chunk(chunk: Chunk, route: Route, memory_atoms: int | None) -> FeaturizedChunk:
    """Read and featurise some sources; runs in a worker."""
    if not chunk:
        return FeaturizedChunk([], [], 0.0, 0.0)
    started = time.perf_counter()
    tickets: list[Ticket] = []
    crystals: list[Crystal | InputError] = []
    for order, source in watched(chunk):
        checksum, read = source.checked()
        tickets.append(_ticket(order, source, checksum))
        crystals.append(_without_traceback(outcome_of(read)))
    ready = time.perf_counter()
    done = featurize_inputs(tickets, crystals, route, memory_atoms=memory_atoms)
    return FeaturizedChunk(done.features, done.failures, ready - started, time.perf_counter() - ready)


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
    tickets = [_ticket(order, source, source.checked()[0]) for order, source in chunk]
    return FeaturizedChunk(
        [], [(ticket, Failure.of(_given_up(ticket.path, timeout, death), ticket)) for ticket in tickets], 0.0, 0.0
    )


def _given_up(path: str, timeout: float, death: WorkerDied) -> InputError:
    if death.timed_out:
        return InputError("timed-out", f"{path}: was not read and featurised within {timeout:g} s; --timeout gives more")
    return InputError("crashed", f"{path}: the process that read and featurised it was killed, by its memory or by a library")
