"""The model card: what an engine is, what it learned from, how wrong it is and where not to trust it.

Made from its manifest and from reports about it, so it cannot say other figures than they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bandrt.domain import SPIN_ORBIT_FROM
from bandrt.elements import SYMBOLS
from bandrt.errors import BandrtError
from bandrt.manifest import EnsembleRule, Manifest, TrainingDomain
from bandrt_train.evaluation.breakdown import ELEMENT_ERRORS
from bandrt_train.evaluation.judgement import MODEL
from bandrt_train.evaluation.markdown import calibration_line, compact_table, title
from bandrt_train.evaluation.tables import shown

VARIANTS = {
    "paper": "the paper's Bandformer: a graph Transformer over the nearest neighbours, a Transformer over the k-points of the path",
    "fourier": "the Fourier variant: as the paper's, but it predicts Fourier modes of the bands along the path",
    "bloch": "the `bloch` variant: as the paper's, but k-points are known by closed loops of hoppings with their Bloch phases",
    "released": "the architecture of the authors' released code",
}
N_NAMED = 5
"""Elements and crystals that are named as failures."""
MIN_PER_ELEMENT = 5
"""Crystals that an element must be in to be named."""


class CardError(BandrtError):
    """Reports that are not about this engine."""


def card(manifest: Manifest, engine_sha256: str, reports: Sequence[dict[str, Any]], *, sources: str = "") -> str:
    """Write the card as Markdown.

    Args:
        manifest: of the engine.
        engine_sha256: its file.
        reports: what ``report.json`` of evaluations of it say.
        sources: where the training data are from, and their licence; Markdown.

    Raises:
        CardError: ``other-model`` when a report is about another engine.
    """
    for report in reports:
        model = report["model"]
        if model["sha256"] != engine_sha256 and model["checkpoint_sha256"] != manifest.checkpoint_sha256:
            raise CardError(
                "other-model",
                f"a report is about {model['file']} ({model['sha256'][:12]}), the engine is {engine_sha256[:12]}; evaluate again",
            )
    sets = [one for report in reports for one in report["sets"]]
    parts = [
        "# Model card",
        "Made by `bandrt train card` from the engine's manifest and the reports of `bandrt train evaluate`; not edited by hand.",
        _model(manifest, engine_sha256),
        data_section(manifest.training, sources),
        "## Errors",
        *(part for one in sets for part in _errors(one)),
        "In brackets: where 95 % of the means lie when crystals are drawn again from the same ones. The nearest neighbour is the"
        " training crystal of the most similar composition, with its own gap; the training mean puts every band at its mean.",
        _failures(sets),
        _limits(),
    ]
    return "\n\n".join(parts) + "\n"


def _model(manifest: Manifest, engine_sha256: str) -> str:
    bands, kpath, graph = manifest.bands, manifest.recipe.kpath, manifest.recipe.graph
    rows = [
        ("what", VARIANTS[manifest.variant] + (ensemble_clause(manifest.ensemble) if manifest.ensemble else "")),
        (
            "gives",
            f"{bands.n_bands} bands around the Fermi level, {bands.n_valence} of them valence, on {kpath.n_kpoints} k-points",
        ),
        ("k-path", f"{kpath.scheme}, closed walk from Γ"),
        ("neighbours", f"up to {graph.n_neighbors} within {graph.cutoff:g} Å"),
        ("metal", f"halves overlap, or a band crosses zero by more than {bands.metal_tolerance_ev:g} eV"),
        ("precision", manifest.precision),
        ("licence", manifest.licence),
        ("source", manifest.citation),
        ("checksums", f"engine `{engine_sha256[:16]}`, checkpoint `{manifest.checkpoint_sha256[:16]}`"),
    ]
    return "| | |\n| --- | --- |\n" + "\n".join(f"| {name} | {value} |" for name, value in rows)


def ensemble_clause(ensemble: EnsembleRule) -> str:
    """Of how many members an ensemble is, and what its uncertainty is."""
    return (
        f"; the mean of {len(ensemble.members)} such models that differ in their seeds. `uncertainty_ev` is"
        f" {ensemble.floor_ev:.3g} eV + {ensemble.slope:.3g} times their disagreement, fitted to"
        f" {ensemble.n_crystals} held-out crystals"
    )


def data_section(training: TrainingDomain, sources: str) -> str:
    """What a model has learned from; sources are Markdown."""
    lines = [
        "## Data",
        f"Bands of {training.n_crystals} crystals of up to {training.max_atoms} atoms: {training.functional or 'method not said'}.",
        f"Elements ({len(training.elements)}): {' '.join(training.elements) or 'not said'}.",
    ]
    if training.n_gaps:
        lines.append(f"Gaps alone of {training.n_gaps} further crystals.")
    if training.n_taught:
        lines.append(f"Bands that another engine predicted of {training.n_taught} further crystals.")
    if training.gap_elements:
        more = [symbol for symbol in training.gap_elements if symbol not in training.elements]
        lines.append(
            f"These have up to {training.gap_max_atoms} atoms and {len(training.gap_elements)} elements,"
            f" of which {len(more)} are in none of the band structures: {' '.join(more) or 'none'}."
        )
    if training.pretraining:
        lines.append(f"Trained before on: {'; '.join(training.pretraining)}.")
    return "\n\n".join([*lines, *([sources] if sources else [])])


def _errors(one: dict[str, Any]) -> list[str]:
    parts = [title(one) + _seen(one), compact_table(one, "this engine"), calibration_line(one)]
    return [part for part in parts if part]


def _seen(one: dict[str, Any]) -> str:
    n = one["n_formulas_seen"]
    if n == 0 and one["training_known"]:
        return ", of formulas never trained on."
    return f", {n} of them of formulas that were trained on." if n else ""


def _failures(sets: Sequence[dict[str, Any]]) -> str:
    lines = ["## Known failures"]
    for one in sets:
        field, what, count = ELEMENT_ERRORS[one["kind"]]
        groups = {
            symbol: errors[field]
            for symbol, errors in one["by_element"].items()
            if errors[count] >= MIN_PER_ELEMENT and errors[field] is not None
        }
        worst = sorted(groups, key=groups.__getitem__, reverse=True)[:N_NAMED]
        named = [f"- {title(one)}."]
        if worst:
            named.append(f"Largest {what} with {', '.join(f'{symbol} ({shown(groups[symbol])})' for symbol in worst)}.")
        metals = one["models"][MODEL]["metal"]
        if metals["n_crystals"]:
            named.append(f"Of its metals {metals['metal_accuracy']:.0%} are told as metals.")
        crystals = [f"{row['formula']} {row['id']} ({shown(row['error_ev'])})" for row in one["worst"]]
        if crystals:
            named.append(f"Worst crystals, eV: {', '.join(crystals)}.")
        lines.append(" ".join(named))
    return "\n".join([lines[0], "", *lines[1:]])


def _limits() -> str:
    return (
        "## Domain\n\n"
        "Labels are semilocal DFT: gaps are too small, as its gaps are. No magnetism: moments of transition metals, lanthanides"
        f" and actinides are not described. No spin-orbit coupling: from {SYMBOLS[SPIN_ORBIT_FROM]} on, it moves bands by more than"
        " 0.1 eV."
        " Outside of what was trained on, predictions are extrapolations; `bandrt infer` warns: `unseen-element`, `more-atoms`,"
        " `gap-only-element` and `gap-only-atoms` (known from gaps, not from bands), `magnetic`, `spin-orbit`;"
        " `odd-electrons`, of a gap where electrons do not fill bands."
    )
