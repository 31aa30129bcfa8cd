"""Featurised inputs: those that an engine can take, with their tickets, and the failures of the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.features import Features
from bandrt.graph.bonded_network import network_warnings
from bandrt.outcomes import each
from bandrt.results.prediction import Failure, Ticket
from bandrt.routes import Route, within_memory


class Featurized(NamedTuple):
    """Inputs that an engine can take, and why the others cannot be used; each list in the order of the inputs."""

    features: list[tuple[Ticket, Features]]
    failures: list[tuple[Ticket, Failure]]


def featurize_inputs(
    tickets: Sequence[Ticket],
    crystals: Sequence[Crystal | InputError],
    route: Route,
    *,
    memory_atoms: int | None = None,
) -> Featurized:
    """Make the features of inputs, refuse those that an engine has no room for, and tell features from failures.

    Tickets of features get the warnings that the crystal deserves whatever the model is.

    Args:
        tickets: of each input; an error calls it by its path, or else by its id.
        crystals: of each input, or why it cannot be read.
        route: how they come to the engine that predicts them.
        memory_atoms: of the largest for which there shall be memory; None: any.
    """
    names = [ticket.path or ticket.id for ticket in tickets]
    done = Featurized([], [])
    outcomes = route.featurize(crystals, names=names)
    for ticket, crystal, outcome, name in zip(tickets, crystals, outcomes, names, strict=True):
        one = within_memory(outcome, memory_atoms, name=name)
        if isinstance(crystal, Crystal) and crystal.notes:
            ticket = ticket._replace(warnings=(*ticket.warnings, *crystal.notes))
        if isinstance(one, InputError):
            done.failures.append((ticket, Failure.of(one, ticket)))
        else:
            done.features.append((ticket, one))
    found = [features for _, features in done.features]
    said = each(found, _network_warnings, "features-failed", "graph") if found else []
    warned: list[tuple[Ticket, Features]] = []
    for (ticket, features), codes in zip(done.features, said, strict=True):
        if isinstance(codes, InputError):
            done.failures.append((ticket, Failure.of(codes.about(ticket.path or ticket.id), ticket)))
        else:
            warned.append((ticket._replace(warnings=(*ticket.warnings, *codes)) if codes else ticket, features))
    return Featurized(warned, done.failures)


def _network_warnings(found: Sequence[Features]) -> Sequence[tuple[str, ...]]:
    return network_warnings([features.crystal for features in found], found)
