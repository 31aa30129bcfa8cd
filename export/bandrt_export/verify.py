"""Verification: an engine against the checkpoint it was made from, or against another engine, on crystals of the user's choice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bandrt.crystal import Crystal
from bandrt.engine import ONNX_SUFFIX, open_session, read_manifest
from bandrt.engine.session import Session
from bandrt.errors import BandrtError, InputError, UsageError
from bandrt.features import Features
from bandrt.featurized import featurize_inputs
from bandrt.manifest import BandRule, Manifest, ParityReport
from bandrt.nested import differences
from bandrt.outcomes import outcome_of
from bandrt.recipe import Recipe
from bandrt.results.prediction import Failure, Ticket
from bandrt.routes import Route
from bandrt.sources import find
from bandrt_export.dense.ensemble import parity_limit_ev
from bandrt_export.errors import ExportError
from bandrt_export.parity import compare, limits_of, objection, packaged_crystals
from bandrt_export.reference import PYTORCH, PYTORCH_BANDS
from bandrt_train.checkpoint import load_checkpoint_for
from bandrt_train.hamiltonian_checkpoint import AnyCheckpoint, HamiltonianCheckpoint, load_any_checkpoint
from bandrt_train.model.ensemble import Model
from bandrt_train.model.hamiltonian.ensemble import HamiltonianModel

OWN_ERROR = "validation/energy_mae_ev"
"""The metric of training that says how wrong the model itself is."""


@dataclass(frozen=True)
class Verification:
    """What a comparison found."""

    report: ParityReport
    manifest: Manifest
    """Of the engine under test."""
    same_checkpoint: bool
    """Whether both sides were made from one checkpoint."""
    failures: tuple[Failure, ...]
    """Crystals that could not be compared."""

    @property
    def own_error_ev(self) -> float | None:
        """Mean absolute energy error of the model itself on held-out crystals, eV; None if its manifest does not say."""
        return self.manifest.training.metrics.get(OWN_ERROR)

    @property
    def passed(self) -> bool:
        """Whether the two agree within the limits."""
        return objection(self.report) is None


@dataclass(frozen=True, eq=False)
class _Standard:
    """What an engine is compared with."""

    model: Model | HamiltonianModel | Session
    name: str
    recipe: Recipe
    rule: BandRule
    checkpoint_sha256: str


def verify(
    model: Path,
    against: Path,
    paths: Sequence[Path] = (),
    *,
    device: str | None = None,
    limit_ev: float | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Verification:
    """Compare an engine with a checkpoint or another engine.

    Args:
        model: the engine under test.
        against: what it is compared with; another engine runs on the CPU.
        paths: crystals, as `bandrt infer` takes them; none takes those of the parity gate.
        device: where `model` runs; None: where its kind of engine does.
        limit_ev: eV, largest energy difference allowed; None takes what rounding may cost the variant in fp32, and judges fp16 by
            the mean and the gaps alone.
        on_progress: called with how many predictions were compared, and of how many.

    Raises:
        BandrtError: a model cannot be opened; ``not-comparable`` for models that are not fed alike; ``no-input`` when no
            crystal is left to compare.
    """
    with open_session(model, device=device, exact=True) as session, _standard(against, session.manifest) as standard:
        manifest = session.manifest
        if manifest.is_null:
            raise UsageError("null-engine", f"{model.name}: this engine computes nothing that could be verified")
        for what, ours, theirs in (
            ("recipe", manifest.recipe, standard.recipe),
            ("bands", manifest.bands, standard.rule),
        ):
            if found := differences(dataclasses.asdict(ours), dataclasses.asdict(theirs)):
                name, here, there = found[0]
                both = f"{model} and {against} are made for different input"
                raise ExportError("not-comparable", f"{both}: {what}.{name} is {here} and {there}")
        taken, failures = _featurize(paths, manifest)
        report = compare(
            standard.model,
            session,
            [features for _, features in taken],
            rule=manifest.bands,
            limits=limits_of(manifest.precision, rounding_ev=parity_limit_ev(manifest.variant), limit_ev=limit_ev),
            reference=standard.name,
            on_progress=on_progress,
            on_no_bands=lambda features: failures.append(_without_bands(taken, features)),
        )
    return Verification(report, manifest, manifest.checkpoint_sha256 == standard.checkpoint_sha256, tuple(failures))


@contextmanager
def _standard(path: Path, manifest: Manifest) -> Iterator[_Standard]:
    if path.suffix.lower() == ONNX_SUFFIX:  # anything else is read as a checkpoint
        solved_here = read_manifest(path).solver == "lapack"
        with open_session(path, exact=True, bands=manifest.bands.n_bands if solved_here else None) as session:
            of = session.manifest
            name = f"{path.name} ({of.backend.name}, {of.precision}, {session.device})"
            yield _Standard(session, name, of.recipe, of.bands, of.checkpoint_sha256)
    else:
        checkpoint = _checkpoint(path, manifest)
        name = f"{path.name} ({PYTORCH if manifest.solver is None else PYTORCH_BANDS})"
        rule = checkpoint.bands
        if isinstance(checkpoint, HamiltonianCheckpoint):  # it has as many bands as are asked of it
            rule = rule.widened(manifest.bands.n_bands)
        yield _Standard(checkpoint.build_model(), name, checkpoint.recipe, rule, checkpoint.sha256)


def _checkpoint(path: Path, manifest: Manifest) -> AnyCheckpoint:
    """Read a checkpoint; what one of the released code leaves unsaid is taken from the engine under test."""
    if manifest.variant == "released":
        return load_checkpoint_for(path, manifest.recipe, manifest.model["species_index"])
    return load_any_checkpoint(path)


def _featurize(paths: Sequence[Path], manifest: Manifest) -> tuple[list[tuple[Ticket, Features]], list[Failure]]:
    """The crystals that the engine can take, smallest first, and those that it cannot."""
    named = list(_crystals(paths))
    tickets = [Ticket(order, name, path) for order, (name, path, _) in enumerate(named)]
    found = featurize_inputs(tickets, [crystal for *_, crystal in named], Route.to(manifest))
    failures = [one for _, one in found.failures]
    if not found.features:
        first = f", the first: {failures[0].message}" if failures else ""
        raise BandrtError("no-input", f"none of {len(failures)} crystals can be used{first}")
    return sorted(found.features, key=lambda one: len(one[1].atomic_numbers)), failures


def _without_bands(taken: Sequence[tuple[Ticket, Features]], features: Features) -> Failure:
    """Why a crystal was not compared that both sides have too few bands of."""
    ticket = next(ticket for ticket, one in taken if one is features)
    message = f"{ticket.path or ticket.id}: neither side has as many bands around the Fermi level as are compared"
    return Failure.of(InputError("too-few-bands", message, stage="predict"), ticket)


def _crystals(paths: Sequence[Path]) -> Iterator[tuple[str, str, Crystal | InputError]]:
    """Name, path and crystal of each input, or why it cannot be read."""
    if not paths:
        yield from ((crystal.formula, "", crystal) for crystal in packaged_crystals())
        return
    for source in find(paths):
        yield source.id, source.path, outcome_of(source.read)
