"""Results: what becomes of one input, a prediction or a failure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from bandrt.arguments import check_fields
from bandrt.bands.band_structure import BandStructure
from bandrt.crystal import Crystal
from bandrt.domain import codes_of
from bandrt.errors import InputError, Stage
from bandrt.quoting import MOST_OF_MESSAGE, one_line, quoted, shortened


class Ticket(NamedTuple):
    """What follows an input through a run."""

    order: int
    """Its place among the inputs, from 0."""
    id: str
    """Unique within the run."""
    path: str
    """Where it was read; empty for an object in memory."""
    warnings: tuple[str, ...] = ()
    """Codes of what is doubtful about the crystal itself, whatever the model was trained on, e.g. ``layered``."""
    input_sha256: str = ""
    """Checksum of the text that the crystal is read from; empty for an object in memory."""
    kept: tuple[tuple[str, str], ...] = ()
    """Columns of the input that are carried through to its result: names and texts."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """The predicted band structure of one crystal.

    Attributes:
        id: the name of the input, unique within a run.
        path: where it was read; empty for an object in memory.
        band_structure: the bands, with the standard primitive cell they belong to.
        warnings: short codes of what the model has not seen or does not describe, e.g. ``magnetic:Fe``, and of what is doubtful
            about the crystal, e.g. ``layered``.
        uncertainty_ev: expected mean absolute error of the energies, eV, larger where bonds do not hold the crystal together in
            three dimensions; nan where a warning leaves nothing to expect, None from an engine that does not estimate it.
        input_sha256: checksum of the text that the crystal was read from; empty for an object in memory.
        kept: columns of the input that were asked for (``--keep``), as text by name.
    """

    id: str
    path: str
    band_structure: BandStructure
    warnings: tuple[str, ...] = ()
    uncertainty_ev: float | None = None
    input_sha256: str = ""
    kept: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self, may_be_nan=("uncertainty_ev",))

    @property
    def crystal(self) -> Crystal:
        """The standard primitive cell."""
        return self.band_structure.crystal

    @property
    def warning_codes(self) -> frozenset[str]:
        """The warnings without what they are about: ``magnetic`` for ``magnetic:Fe``."""
        return codes_of(self.warnings)

    def __repr__(self) -> str:
        more = f", warnings: {shortened(' '.join(self.warnings), 60)}" if self.warnings else ""
        name, formula = quoted(shortened(self.id, 50)), shortened(self.crystal.formula, 40)
        return f"Prediction({name}, {formula}, {self.band_structure.verdict}{more})"

    def _repr_html_(self) -> str:
        from bandrt.bands.html import shown

        return shown(shortened(self.id), self._facts, self.band_structure, name=shortened(self.id))

    def _facts(self) -> dict[str, str]:
        error = "" if self.uncertainty_ev is None else f"{self.uncertainty_ev:.3f} eV"
        return {
            **self.band_structure.facts(),
            "expected error": error,
            "warnings": ", ".join(self.warnings),
            "read from": shortened(self.path, 200),
        }


@dataclass(frozen=True)
class Failure:
    """Why one input has no prediction.

    Attributes:
        id: the name of the input, unique within a run.
        path: where it was read; empty for an object in memory.
        stage: the step that refused it.
        code: stable and machine-readable, e.g. ``partial-occupancy``.
        message: one sentence for people.
        input_sha256: checksum of the text that was refused, or, where none could be read, of the reason; empty for an object in
            memory.
        engine_sha256: checksum of the engine of the run, whose recipe and size decide what it takes; two joined by a plus where it
            hands crystals over; empty outside a run.
        kept: columns of the input that were asked for (``--keep``), as text by name; in files only where there are any.
        input_order: place among the inputs of the whole run, from 0, in the folder of a shard; -1 elsewhere.
    """

    id: str
    path: str
    stage: Stage
    code: str
    message: str
    input_sha256: str = ""
    engine_sha256: str = ""
    kept: dict[str, str] = field(default_factory=dict, hash=False)
    input_order: int = -1

    def __post_init__(self) -> None:
        check_fields(self)

    def __repr__(self) -> str:
        message = shortened(one_line(self.message), MOST_OF_MESSAGE)  # what to do stands at its end
        return f"Failure({quoted(shortened(self.id, 50))}, {shortened(self.code, 30)}: {message})"

    @classmethod
    def of(cls, error: InputError, ticket: Ticket) -> Failure:
        """Record an error."""
        return cls(ticket.id, ticket.path, error.stage, error.code, error.message, ticket.input_sha256, kept=dict(ticket.kept))


Result = Prediction | Failure
