"""What was expected and what was found, laid out for people, from the values of a report alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bandrt_train.evaluation.tables import markdown_table

HITS = (
    "gap of the label, eV",
    "crystals",
    "expected",
    "found",
    "of the first 50: expected",
    "found",
    "predicted to be there",
    "found",
)


def window(one: Mapping[str, Any]) -> str:
    """The window of gaps of one row: ``1.0 to 1.6``, or metals."""
    return "metals" if one["high_ev"] == 0.0 else f"{one['low_ev']:g} to {one['high_ev']:g}"


def hit_rows(gaps: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A row for each window of gaps: hits of all crystals, of the most probable, and of those that are predicted to be in it."""
    return [(window(one), *_hit_cells(one)) for one in gaps]


def _hit_cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    everything, plainly = one["all"], one["as_predicted"]
    first = one["most_probable"][0] if one["most_probable"] else None
    most = ("-", "-") if first is None else (_expected(first), str(first["found"]))
    return (
        str(everything["n_crystals"]), _expected(everything), str(everything["found"]), *most,
        str(plainly["n_crystals"]), str(plainly["found"]),
    )  # fmt: skip


def _expected(hits: Mapping[str, Any]) -> str:
    return f"{hits['expected']:.1f} ({hits['low']} to {hits['high']})"


def reliability_rows(one: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row for each part of a reliability table: probabilities from and to, crystals, mean probability and share of hits."""
    return [
        (
            f"{part['from']:g} to {part['to']:g}", str(part["n_crystals"]),
            f"{part['expected'] / part['n_crystals']:.3f}", f"{part['found'] / part['n_crystals']:.3f}",
        )
        for part in one["reliability"]
    ]  # fmt: skip


def hits_table(gaps: Sequence[Mapping[str, Any]]) -> str:
    """Expected and found hits as Markdown."""
    return markdown_table(HITS, hit_rows(gaps))


def reliability_table(gaps: Sequence[Mapping[str, Any]]) -> str:
    """The reliability of all windows side by side as Markdown: of crystals with such a probability, how many are hits."""
    parts = list(dict.fromkeys((part["from"], part["to"]) for one in gaps for part in one["reliability"]))
    header = ("p_match", *(f"{window(one)}: crystals, mean p_match, hits" for one in gaps))
    cells = [{(part["from"], part["to"]): part for part in one["reliability"]} for one in gaps]
    rows = [(f"{low:g} to {high:g}", *(_part(one.get((low, high))) for one in cells)) for low, high in sorted(parts)]
    return markdown_table(header, rows)


def _part(part: Mapping[str, Any] | None) -> str:
    if part is None:
        return "-"
    n = part["n_crystals"]
    return f"{n}, {part['expected'] / n:.2f}, {part['found'] / n:.2f}"


def text_lines(values: Mapping[str, Any]) -> list[str]:
    """What a calibration is worth, in lines."""
    fitted, direct = values["calibration"], values["direct"]
    lines = [f"fitted to {fitted['n_crystals']} crystals; on the test split:"]
    lines += [
        f"  {window(one)}: {_expected(one['all'])} expected and {one['all']['found']} found of {one['all']['n_crystals']}"
        for one in values["gaps"]
    ]
    return [*lines, directness_line(fitted["direct"], direct)]


def directness_line(fitted: Mapping[str, Any] | None, tested: Mapping[str, Any] | None) -> str:
    """What is known of direct gaps, in a sentence."""
    if fitted is None or tested is None:
        return "Nothing is known of direct gaps."
    known = (
        "The engine tells direct from indirect gaps"
        if fitted["log_odds"] is not None
        else f"The engine does not tell direct from indirect gaps: each is direct with a probability of {fitted['share']:.2f}"
    )
    return (
        f"{known}, by {fitted['n_crystals']} non-metals. Of {tested['all']['n_crystals']} others {_expected(tested['all'])}"
        f" are expected to have a direct gap, and {tested['all']['found']} have one."
    )
