"""The pipeline: sources are read and featurised, batched by size, run and stored, all at the same time and in bounded memory.

Reading and featurising happen in worker processes, the engine runs in a thread, and this process batches and writes. Which crystals
share a batch depends on the inputs alone: not on the timing of workers, nor on where an earlier run was stopped, since crystals
that are done take their place among the others. What a resumed run predicts is therefore, to the last bit, what one from nothing
predicts.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bandrt.batch import Batcher, is_centred
from bandrt.engine.session import Compiling
from bandrt.engine.several import n_devices
from bandrt.features import Features
from bandrt.featurized import featurize_inputs
from bandrt.outcomes import outcome_of
from bandrt.predict import Engine
from bandrt.quoting import printable, shortened
from bandrt.results.prediction import Failure, Result, Ticket
from bandrt.results.writer import Store
from bandrt.run.chunks import Chunk, chunked
from bandrt.run.defaults import TIMEOUT_SECONDS
from bandrt.run.engine_thread import Answer, EngineThread
from bandrt.run.featurized_chunk import FeaturizedChunk, featurize_chunk, redone, ticket_of
from bandrt.run.interrupt import Interrupt, Interrupted
from bandrt.run.large import is_slow, slow_said
from bandrt.run.report import RunReport
from bandrt.run.shard import WHOLE, Shard
from bandrt.run.workers import WorkerPool
from bandrt.sources import Source

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
        featurize = partial(featurize_chunk, route=engine.route, memory_atoms=max_atoms)
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
                ticket = ticket_of(order, source, "" if fresh else source.checked()[0])
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
        for chunk in pool.map(featurize, inputs.chunks(), rescue=partial(redone, pool, featurize, timeout)):
            yield chunk, inputs.kept.popleft()
