"""How fast engines are: latency of padded batches, and where the time of a whole run goes.

Contenders take turns, run by run, so that all of them see the same machine; the order is turned round every time. Clocks come from
outside, and what is timed is a plain callable, so nothing here needs a device.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

import numpy as np

from bandrt.batch import alike, pad
from bandrt.contract import UNCERTAINTY
from bandrt.crystal import Crystal
from bandrt.engine.memory import rows_of
from bandrt.errors import BandrtError, InputError
from bandrt.features import Features, featurize_crystal
from bandrt.featurized import featurize_inputs
from bandrt.files import scratch_folder
from bandrt.outcomes import outcome_of
from bandrt.outputs import results_of
from bandrt.predict import Engine
from bandrt.recipe import Recipe
from bandrt.results.prediction import Failure, Ticket
from bandrt.results.writer import Store
from bandrt.routes import Route
from bandrt.sources import Source

WARM_UP = 3
"""Runs that are not counted, of each contender and batch: memory is found, kernels are chosen."""
MIN_RUNS, MAX_RUNS = 5, 500
"""Counted runs of each contender and batch."""
STAGES = ("read", "featurize", "pad", "engine", "write")

T = TypeVar("T")
Clock = Callable[[], float]


class Contender(NamedTuple):
    """Something that predicts bands."""

    name: str
    prepare: Callable[[Sequence[Features]], Callable[[], object]]
    """Makes a batch ready, and gives what runs it."""
    recipe: Recipe
    """How its crystals are featurised."""


class Yardstick(NamedTuple):
    """What the device could do, and how much a batch asks of it."""

    flops_per_second: float
    """Measured rate of a large matrix product in fp32."""
    flops: Callable[[Sequence[Features]], int]
    """What the reference model multiplies and adds for a batch, padding included."""
    recipe: Recipe
    """Of the reference model."""


class Case(NamedTuple):
    """Crystals that make one batch."""

    bucket: tuple[int, int]
    """The fewest and the most atoms a crystal of this bucket may have."""
    crystals: tuple[int, ...]
    """Which, by index; a bucket of few crystals repeats them."""


@dataclass(frozen=True)
class Latency:
    """How long the runs of one batch took.

    Attributes:
        p50_ms: half of them took less.
        p90_ms: nine of ten took less.
        p99_ms: 99 of 100 took less.
        crystals_per_second: at the median.
        runs: how many were counted.
    """

    p50_ms: float
    p90_ms: float
    p99_ms: float
    crystals_per_second: float
    runs: int

    @classmethod
    def of(cls, seconds: Sequence[float], n_crystals: int) -> Latency:
        """Sum up the runs of a batch."""
        p50, p90, p99 = (round(1e3 * float(value), 4) for value in np.percentile(seconds, (50, 90, 99)))
        return cls(p50, p90, p99, round(1e3 * n_crystals / p50, 2), len(seconds))


@dataclass(frozen=True)
class LatencyRow:
    """One batch of one contender.

    Attributes:
        contender: its name.
        batch: crystals in the batch.
        min_atoms: of the crystals in it.
        max_atoms: of the crystals in it.
        latency: how long it took.
        ratio: how many times faster than the last contender, by the medians; None of the last itself.
        matrix_rate_fraction: what the reference model multiplies, by the time taken, as a fraction of the measured matrix rate;
            None without a yardstick. An engine that reaches the same numbers with less work comes out above what it computes.
    """

    contender: str
    batch: int
    min_atoms: int
    max_atoms: int
    latency: Latency
    ratio: float | None
    matrix_rate_fraction: float | None = None


@dataclass(frozen=True)
class StageSplit:
    """Where the time of a run over all crystals goes, one stage after the other in one process.

    Attributes:
        contender: whose run.
        batch: crystals in a batch at most.
        n_crystals: in all.
        failures: of those that the engine has no bands for; their time counts.
        seconds: by the names in `STAGES`, those of ``run.json``: pad lays crystals side by side in a batch, which a run counts
            as engine; engine runs the model, transfers to a GPU included; write is the output folder.
        crystals_per_second: end to end.
    """

    contender: str
    batch: int
    n_crystals: int
    seconds: dict[str, float]
    crystals_per_second: float
    failures: tuple[Failure, ...] = ()


class Crystals(NamedTuple):
    """What can be timed."""

    sources: list[Source]
    failures: list[Failure]
    features: dict[Recipe, list[Features]]
    """Of every source, for each recipe."""


def contender(engine: Engine, name: str) -> Contender:
    """An open engine on padded batches."""

    def prepare(features: Sequence[Features]) -> Callable[[], object]:
        batches = [pad([features[place] for place in kind]) for kind in alike(features, engine.manifest)]
        return lambda: [engine.session.run(batch) for batch in batches]

    return Contender(name, prepare, engine.recipe)


def featurize_sources(sources: Sequence[Source], recipes: Sequence[Recipe], *, max_atoms: int | None) -> Crystals:
    """Featurise crystals for every contender, leaving out what one of them cannot take.

    Raises:
        BandrtError: ``no-input`` when nothing is left.
    """
    tickets = [Ticket(order, source.id, source.path) for order, source in enumerate(sources)]
    crystals: list[Crystal | InputError] = [outcome_of(source.read) for source in sources]
    features: dict[Recipe, dict[int, Features]] = {}
    failures: dict[int, Failure] = {}  # by the place of a source: tickets are given warnings on the way
    for recipe in recipes:
        found = featurize_inputs(tickets, crystals, Route(recipe, max_atoms))
        features[recipe] = {ticket.order: made for ticket, made in found.features}
        failures = {ticket.order: failure for ticket, failure in found.failures} | failures
    taken = [order for order in range(len(sources)) if order not in failures]
    made = Crystals(
        [sources[order] for order in taken],
        [failures[order] for order in sorted(failures)],
        {recipe: [of_recipe[order] for order in taken] for recipe, of_recipe in features.items()},
    )
    if not made.sources:
        raise BandrtError("no-input", f"none of {len(sources)} crystals can be timed; the first: {made.failures[0].message}")
    return made


def cases(n_atoms: Sequence[int], batch_sizes: Sequence[int]) -> list[Case]:
    """Batches of every size from every bucket of atoms that holds a crystal: 1, 2, 3-4, 5-8, 9-16, ..."""
    buckets: dict[int, list[int]] = {}
    for index, n in enumerate(n_atoms):
        buckets.setdefault((n - 1).bit_length(), []).append(index)
    return [
        Case(((1 << power) // 2 + 1, 1 << power), tuple(itertools.islice(itertools.cycle(members), size)))
        for power, members in sorted(buckets.items())
        for size in batch_sizes
    ]


def interleave(runs: Sequence[Callable[[], object]], *, seconds: float, clock: Clock = perf_counter) -> list[list[float]]:
    """Time several callables in turns.

    Args:
        runs: what to time; each is run `WARM_UP` times first.
        seconds: to go on for, by `clock`, between `MIN_RUNS` and `MAX_RUNS` rounds.
        clock: seconds from any origin.

    Returns:
        The seconds of every counted run of each.
    """
    for run in runs:
        for _ in range(WARM_UP):
            run()
    taken: list[list[float]] = [[] for _ in runs]
    began = clock()
    for done in range(MAX_RUNS):
        if done >= MIN_RUNS and clock() - began >= seconds:
            break
        order = range(len(runs)) if done % 2 == 0 else reversed(range(len(runs)))
        for index in order:
            start = clock()
            runs[index]()
            taken[index].append(clock() - start)
    return taken


def latencies(
    contenders: Sequence[Contender],
    crystals: Crystals,
    batch_sizes: Sequence[int],
    *,
    seconds: float,
    yardstick: Yardstick | None = None,
    clock: Clock = perf_counter,
    on_progress: Callable[[str], None] = lambda words: None,
) -> list[LatencyRow]:
    """Time all contenders side by side on every case, for at least so many seconds each."""
    rows: list[LatencyRow] = []
    n_atoms = [len(one.atomic_numbers) for one in next(iter(crystals.features.values()))]
    for case in cases(n_atoms, batch_sizes):
        on_progress(f"{len(case.crystals)} crystals of {case.bucket[0]}-{case.bucket[1]} atoms")
        runs = [one.prepare([crystals.features[one.recipe][i] for i in case.crystals]) for one in contenders]
        found = [Latency.of(taken, len(case.crystals)) for taken in interleave(runs, seconds=seconds, clock=clock)]
        sizes = [n_atoms[i] for i in case.crystals]
        flops = yardstick.flops([crystals.features[yardstick.recipe][i] for i in case.crystals]) if yardstick else 0
        for one, latency in zip(contenders, found, strict=True):
            ratio = None if one is contenders[-1] else round(found[-1].p50_ms / latency.p50_ms, 3)
            fraction = 1e3 * flops / latency.p50_ms / yardstick.flops_per_second if yardstick else None
            rows.append(LatencyRow(one.name, len(sizes), min(sizes), max(sizes), latency, ratio, fraction and round(fraction, 4)))
    return rows


def stage_split(engine: Engine, name: str, sources: Sequence[Source], *, batch: int, clock: Clock = perf_counter) -> StageSplit:
    """Take crystals from their files to an output folder, one stage after the other, and time each.

    Args:
        engine: open, and warm.
        name: what the report calls it.
        sources: crystals that can be read and featurised.
        batch: crystals in a batch at most; they are sorted by size.
        clock: seconds from any origin.
    """
    seconds = dict.fromkeys(STAGES, 0.0)

    def timed(stage: str, work: Callable[..., T], *arguments: Any) -> T:
        start = clock()
        done = work(*arguments)
        seconds[stage] += clock() - start
        return done

    crystals = [timed("read", source.read) for source in sources]
    features = [
        timed("featurize", partial(featurize_crystal, name=source.path), crystal, engine.recipe)
        for crystal, source in zip(crystals, sources, strict=True)
    ]
    order = sorted(range(len(features)), key=lambda i: len(features[i].atomic_numbers))
    failures: list[Failure] = []
    uncertainty = UNCERTAINTY in engine.manifest.outputs
    with scratch_folder() as folder, Store(folder, engine_sha256=engine.sha256, uncertainty=uncertainty) as store:
        for start in range(0, len(order), batch):
            members = order[start : start + batch]
            for kind in alike([features[i] for i in members], engine.manifest):
                together = [members[place] for place in kind]
                padded = timed("pad", pad, [features[i] for i in together])
                rows = rows_of(timed("engine", engine.session.run, padded), len(together))
                tickets = [Ticket(i, sources[i].id, sources[i].path) for i in together]
                crystals_of = [(ticket, features[ticket.order]) for ticket in tickets]
                for ticket, result in zip(tickets, results_of(crystals_of, rows, engine.manifest), strict=True):
                    timed("write", store.fail if isinstance(result, Failure) else store.add, ticket, result)
                    if isinstance(result, Failure):
                        failures.append(result)
        timed("write", store.commit)
    total = sum(seconds.values())
    rounded = {stage: round(value, 6) for stage, value in seconds.items()}
    return StageSplit(name, batch, len(order), rounded, round(len(order) / total, 2), tuple(failures))


def peak_memory_mb() -> float | None:
    """The most memory this process has held so far, MB; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)


def as_json(row: LatencyRow | StageSplit) -> dict[str, Any]:
    """A row of a report as plain JSON values; failures by path, code and message."""
    values = dataclasses.asdict(row)
    if isinstance(row, StageSplit):
        values["failures"] = described(row.failures)
    return values


def described(failures: Sequence[Failure]) -> list[dict[str, str]]:
    """Failures as plain JSON values."""
    return [{"path": one.path, "code": one.code, "message": one.message} for one in failures]
