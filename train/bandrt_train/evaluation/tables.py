"""Tables: evaluations laid out for people, as plain text or Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from bandrt_train.evaluation.metrics import Errors, Evaluation

METRICS = {
    "center_mae_ev": "band centre MAE, eV",
    "dispersion_mae_ev": "dispersion MAE, eV",
    "energy_mae_ev": "energy MAE, eV",
    "gap_mae_ev": "gap MAE of non-metals, eV",
    "metal_accuracy": "metal or not, right",
    "metal_f1": "F1 of the metals",
    "direct_gap_mae_ev": "direct gap MAE of non-metals, eV",
    "direct_accuracy": "direct or indirect, right",
    "indirect_share": "always indirect, right",
}
"""Fields of `Errors`, and what they are called."""
GROUPS = ("total", "non-metal", "metal")


def shown(value: float | int | None) -> str:
    """A number as tables print it: three decimals, a dash where there is none."""
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"


def table_one_rows(evaluations: dict[str, Evaluation]) -> list[tuple[str, ...]]:
    """The paper's Table I: a row per error and model, with columns total, non-metal, metal.

    Errors that nobody has are left out, and so is the F1 of groups, which says nothing.
    """
    rows = []
    for field, name in METRICS.items():
        for model, evaluation in evaluations.items():
            values = [getattr(errors, field) for errors in (evaluation.total, evaluation.nonmetal, evaluation.metal)]
            if field == "metal_f1":
                values[1:] = [None, None]
            if any(value is not None for value in values):
                rows.append((name, model, *(shown(value) for value in values)))
    return rows


def text_table(evaluations: dict[str, Evaluation]) -> str:
    """Lay evaluations out as plain text."""
    first = next(iter(evaluations.values()))
    counts = [shown(errors.n_crystals) for errors in (first.total, first.nonmetal, first.metal)]
    rows = [("", "", *GROUPS), ("crystals", "", *counts), *table_one_rows(evaluations)]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    )


def breakdown_rows(groups: dict[str, Errors], fields: Sequence[str]) -> list[tuple[str, ...]]:
    """A row per group of crystals: its name, how many, and the chosen errors."""
    return [(name, str(errors.n_crystals), *(shown(getattr(errors, field)) for field in fields)) for name, errors in groups.items()]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay rows out as a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
