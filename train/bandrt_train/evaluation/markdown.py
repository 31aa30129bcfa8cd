"""Markdown for README, model card and result tables, from ``report.json`` alone: a figure is written down in one place.

A block of a Markdown file between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->`` belongs to a program; the rest is written by
hand.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from bandrt.typed_values import from_mapping
from bandrt_train.evaluation.judgement import MODEL
from bandrt_train.evaluation.metrics import Evaluation
from bandrt_train.evaluation.report import LISTED_CRYSTALS
from bandrt_train.evaluation.screening.tables import hits_table, reliability_table
from bandrt_train.evaluation.tables import GROUPS, METRICS, markdown_table, shown, table_one_rows

OVERVIEW = (
    ("energy_mae_ev", "total", "energy MAE, eV"),
    ("energy_mae_ev", "metal", "energy MAE of metals, eV"),
    ("gap_mae_ev", "total", "gap MAE of non-metals, eV"),
    ("metal_accuracy", "total", "metal or not, right"),
)
"""Which errors an overview shows: field, group of crystals, in words."""
WITH_INTERVALS = ("energy_mae_ev", "gap_mae_ev", "metal_accuracy", "direct_gap_mae_ev", "direct_accuracy")


def full_table(one: dict[str, Any]) -> str:
    """Table I of one set of a report, with every model: total, non-metal, metal."""
    evaluations = {name: from_mapping(Evaluation, numbers, name="report") for name, numbers in one["models"].items()}
    return markdown_table(("", "", *GROUPS), table_one_rows(evaluations))


def compact_table(one: dict[str, Any], model_name: str) -> str:
    """Errors over all crystals of one set of a report, a column per model; ours with what chance allows."""
    models, intervals = one["models"], one["intervals"]
    header = ["", *(model_name if name == MODEL else name for name in models)]
    rows = []
    for field, title in METRICS.items():
        values = [numbers["total"].get(field) for numbers in models.values()]
        if all(value is None for value in values):
            continue
        cells = [shown(value) for value in values]
        own = intervals[MODEL].get(field)
        if own:
            cells[0] += f" ({own[0]:.2f} to {own[1]:.2f})"
        rows.append((title, *cells))
    return markdown_table(header, rows)


def overview(sets: Sequence[dict[str, Any]], model_name: str) -> str:
    """The errors that matter most on several sets in one table; a row per set and error."""
    names = [model_name if name == MODEL else name for name in sets[0]["models"]]
    rows = []
    for one in sets:
        start = title(one)
        for field, group, what in OVERVIEW:
            values = [numbers[group][field] for numbers in one["models"].values()]
            if all(value is None for value in values):
                continue
            cells = [shown(value) for value in values]
            if group == "total":
                low, high = one["intervals"][MODEL][field]
                cells[0] += f" ({low:.2f} to {high:.2f})"
            rows.append((start, what, *cells))
            start = ""
    return markdown_table(("", "", *names), rows)


def title(one: dict[str, Any]) -> str:
    """What one set of a report is, in words: ``Band structures of `data`, test split, 28 crystals, 3 of them metals``."""
    what = {"bands": "Band structures", "gaps": "Gaps"}[one["kind"]]
    part = "all" if one["split"] == "all" else f"{one['split']} split"
    n_metals = one["models"][MODEL]["metal"]["n_crystals"]
    return f"{what} of `{one['data']}`, {part}, {one['n_crystals']} crystals, {n_metals} of them metals"


def calibration_line(one: dict[str, Any]) -> str:
    """How far the uncertainty of a model can be trusted, in a sentence; empty where it has none, or nothing to compare it with."""
    found = one["calibration"]
    if found is None:
        return ""
    fifths = ", ".join(f"{part['expected_ev']:.2f} and {part['found_ev']:.2f}" for part in found["reliability"])
    return (
        f"Its `uncertainty_ev` is {found['expected_ev']:.3f} eV on average, its energy MAE {found['found_ev']:.3f} eV, their rank"
        f" correlation (Spearman) {shown(found['spearman'])}" + (f"; by fifths, expected and made: {fifths} eV." if fifths else ".")
    )


def crystals_table(one: dict[str, Any]) -> str:
    """The crystals of a small set one by one."""
    rows = [
        (
            row["id"],
            row["formula"],
            shown(row["energy_mae_ev"]),
            "metal" if row["is_metal"] else shown(row["band_gap_ev"]),
            "metal" if row["predicted_metal"] else shown(row["predicted_gap_ev"]),
            {None: "-", True: "yes", False: "no"}[row["formula_seen"]],
        )
        for row in one["crystals"]
    ]
    header = ("id", "formula", "energy MAE, eV", "gap, eV", "predicted gap, eV", "formula in training")
    return markdown_table(header, rows)


def section(one: dict[str, Any]) -> str:
    """One set of a report for a page of results: every table that a reader needs to judge it."""
    parts = [f"### {title(one)}", full_table(one)]
    chances = [
        f"{METRICS[field]} {found[0]:.3f} to {found[1]:.3f}"
        for field in WITH_INTERVALS
        if (found := one["intervals"][MODEL].get(field))  # the last two are not in reports of earlier versions
    ]
    parts.append(f"95 % of resamplings of these crystals give, for the model: {'; '.join(chances)}.")
    if line := calibration_line(one):
        parts.append(line)
    if found := one.get("screening"):  # not in reports of earlier versions, nor of models without a calibration
        parts += [
            "Hits that `bandrt screen` expects of these crystals, and that are found:",
            hits_table(found),
            reliability_table(found),
        ]
    if one["split"] == "all" and one["n_crystals"] <= LISTED_CRYSTALS:
        parts.append(crystals_table(one))
    if one["refused"]:
        parts.append("Refused: " + ", ".join(f"{refusal['id']} ({refusal['code']})" for refusal in one["refused"]) + ".")
    return "\n\n".join(parts)


def replace_block(text: str, name: str, content: str) -> str:
    """Put new content into a block of a Markdown file.

    Raises:
        ValueError: the file has no such block, or several.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    pattern = re.compile(re.escape(begin) + r"\n.*?" + re.escape(end), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"needs one block between {begin} and {end}")
    return pattern.sub(lambda _: f"{begin}\n{content}\n{end}", text)
