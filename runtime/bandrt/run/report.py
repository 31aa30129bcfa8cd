"""What a run tells of itself, while it goes on and at its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from bandrt.results.writer import Store
from bandrt.run.padding import Padding

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
