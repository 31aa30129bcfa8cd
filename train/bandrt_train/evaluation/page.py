"""The page of a report: one HTML file with everything in it, to be looked at without the network or scripts."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from bandrt.typed_values import from_mapping
from bandrt_train.evaluation import plots
from bandrt_train.evaluation.judgement import MODEL, Judgement
from bandrt_train.evaluation.markdown import WITH_INTERVALS
from bandrt_train.evaluation.metrics import Errors, Evaluation
from bandrt_train.evaluation.screening.tables import HITS, hit_rows, reliability_rows, window
from bandrt_train.evaluation.tables import GROUPS, METRICS, breakdown_rows, shown, table_one_rows

DPI = 90
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 3rem; border-bottom: 1px solid #ccc; } h3 { margin: 2rem 0 .3rem; font-size: 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0 1rem; }
th, td { padding: .15rem .7rem; text-align: right; border-bottom: 1px solid #eee; } th { border-bottom: 1px solid #888; }
th.text, td.text { text-align: left; } tr.model td { font-weight: 600; }
img { max-width: 100%; } .columns { display: flex; flex-wrap: wrap; gap: 0 3rem; align-items: flex-start; }
.scroll { max-height: 26rem; overflow-y: auto; } p { margin: .4rem 0; } code { font-size: .85em; }
"""
FIGURES: dict[str, Callable[[Judgement], Any]] = {
    "Predicted and DFT": plots.scatter,
    "How the errors are spread": plots.violins,
    "From the best to the worst crystals: DFT (blue) and predicted (orange, dashed)": plots.quintile_bands,
    "By element": plots.element_errors,
    "Expected and made errors": plots.reliability,
}


def page(values: dict[str, Any], judgements: Sequence[Judgement]) -> str:
    """Lay a report out as HTML.

    Args:
        values: what ``report.json`` says.
        judgements: what it is about, in the same order.
    """
    model = values["model"]
    parts = [
        f"<h1>{escape(model['file'])}</h1>",
        f"<p>{escape(model['variant'])} variant, metals: a band crosses zero by more than {model['metal_tolerance_ev']:g} eV,"
        f" or the halves overlap. Checkpoint <code>{model['checkpoint_sha256'][:16]}</code>,"
        f" file <code>{model['sha256'][:16]}</code>, bandrt {escape(values['bandrt_version'])}.</p>",
    ]
    for one, judgement in zip(values["sets"], judgements, strict=True):
        parts += _set(one, judgement)
    title = escape(f"{model['file']}: evaluation")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head>\n'
        f"<body>\n{chr(10).join(parts)}\n</body></html>\n"
    )


def _set(one: dict[str, Any], judgement: Judgement) -> list[str]:
    evaluations = {name: from_mapping(Evaluation, numbers, name="report") for name, numbers in one["models"].items()}
    parts = [
        f"<h2>{escape(one['data'])}: {escape(str(one['split']))}, {one['n_crystals']} crystals</h2>",
        f"<p>{escape(_facts(one))}</p>",
        _table(("", "", *GROUPS), table_one_rows(evaluations), text=2, strong=MODEL),
        _intervals(one["intervals"]),
    ]
    if one["by_formula"]:
        parts.append(_by_formula(one["by_formula"]))
    for title, draw in FIGURES.items():
        if (figure := draw(judgement)) is not None:
            parts.append(f'<h3>{escape(title)}</h3><img alt="{escape(title)}" src="{_png(figure)}">')
    if one["calibration"]:
        parts.append(_calibration(one["calibration"]))
    if one["screening"]:
        parts.append(_screening(one["screening"]))
    parts.append(_quintiles(one["quintiles"]))
    fields = [field for field in METRICS if field != "metal_f1" and getattr(evaluations[MODEL].total, field) is not None]
    header = ("", "crystals", *(METRICS[field] for field in fields))
    for title, key in (("By crystal system", "by_crystal_system"), ("By element", "by_element")):
        groups = {name: from_mapping(Errors, numbers, name="report") for name, numbers in one[key].items()}
        parts.append(f'<h3>{title}</h3><div class="scroll">{_table(header, breakdown_rows(groups, fields))}</div>')
    if one["crystals"]:
        parts.append(f"<h3>Crystals</h3>{_crystals(one['crystals'])}")
    if one["refused"]:
        rows = [(refusal["id"], refusal["code"], refusal["message"]) for refusal in one["refused"]]
        parts.append(f"<h3>Refused documents</h3>{_table(('id', 'code', 'why'), rows, text=3)}")
    return [part for part in parts if part]


def _facts(one: dict[str, Any]) -> str:
    facts = [
        f"Labels: {'; '.join(method for method in one['methods'] if method) or 'method not said'}.",
    ]
    if one["n_formulas_seen"] is not None:
        facts.append(f"{one['n_formulas_seen']} crystals have a formula that is among the training crystals given.")
    if not one["training_known"]:
        facts.append("The model was trained on further data, which were not given here.")
    return " ".join(facts)


def _by_formula(groups: dict[str, dict[str, dict[str, Any]]]) -> str:
    fields = ("n_crystals", "energy_mae_ev", "gap_mae_ev", "metal_accuracy")
    rows = [
        (f"formula {name}", who, *(shown(errors[field]) for field in fields))
        for name, models in groups.items()
        for who, errors in models.items()
    ]
    return _table(("", "", "crystals", *(METRICS[field] for field in fields[1:])), rows, text=2, strong=MODEL)


def _intervals(intervals: dict[str, dict[str, list[float] | None]]) -> str:
    rows = [
        (METRICS[field], name, f"{ends[0]:.3f} to {ends[1]:.3f}")
        for field in WITH_INTERVALS
        for name, found in intervals.items()
        if (ends := found[field])
    ]
    return "<h3>What chance allows (95 %, had other crystals been drawn)</h3>" + _table(
        ("", "", "total"), rows, text=2, strong=MODEL
    )


def _quintiles(quintiles: list[dict[str, Any]]) -> str:
    rows = [
        (q["name"], str(q["n_crystals"]), shown(q["mean_ev"]), f"{q['from_ev']:.3f} to {q['to_ev']:.3f}", ", ".join(q["examples"]))
        for q in quintiles
    ]
    return _table(("", "crystals", "energy MAE, eV", "from, to", "shown"), rows) if rows else ""


def _calibration(found: dict[str, Any]) -> str:
    rows = [
        (f"{i}", str(one["n_crystals"]), shown(one["expected_ev"]), shown(one["found_ev"]))
        for i, one in enumerate(found["reliability"], 1)
    ]
    rows.append(("all", str(found["n_crystals"]), shown(found["expected_ev"]), shown(found["found_ev"])))
    table = _table(("fifth", "crystals", "expected, eV", "made, eV"), rows)
    return f"<p>Rank correlation (Spearman) of expected and made errors: {shown(found['spearman'])}.</p>{table}"


def _screening(gaps: list[dict[str, Any]]) -> str:
    """Hits that `bandrt screen` would expect, and that are found."""
    parts = [_table(HITS, hit_rows(gaps))]
    for one in gaps:
        table = _table(("p_match", "crystals", "mean p_match", "share of hits"), reliability_rows(one))
        parts.append(f"<p>Reliability of {escape(window(one))}:</p>{table}")
    return f"<h3>Shortlists: expected and found hits</h3>{''.join(parts)}"


def _crystals(crystals: list[dict[str, Any]]) -> str:
    header = (
        "id",
        "formula",
        "space group",
        "atoms",
        "labelled",
        "energy MAE, eV",
        "gap, DFT",
        "gap, predicted",
        "formula in training",
    )
    rows = [
        (
            row["id"],
            row["formula"],
            str(row["space_group"]),
            str(row["n_atoms"]),
            f"{row['labelled']:.0%}",
            shown(row["energy_mae_ev"]),
            "metal" if row["is_metal"] else shown(row["band_gap_ev"]),
            "metal" if row["predicted_metal"] else shown(row["predicted_gap_ev"]),
            {None: "-", True: "yes", False: "no"}[row["formula_seen"]],
        )
        for row in crystals
    ]
    return _table(header, rows, text=2)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], *, text: int = 1, strong: str = "") -> str:
    """A table whose first `text` columns are words; rows of the model `strong` stand out."""

    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(f"<{tag}{' class=text' if i < text else ''}>{escape(cell)}</{tag}>" for i, cell in enumerate(cells))

    body = "\n".join(f"<tr{' class=model' if strong and strong == row[1] else ''}>{line(row, 'td')}</tr>" for row in rows)
    return f"<table><tr>{line(header, 'th')}</tr>\n{body}</table>"


def _png(figure: Any) -> str:
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=DPI)
    return "data:image/png;base64," + base64.b64encode(image.getvalue()).decode()
