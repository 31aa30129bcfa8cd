"""Write every published figure of the shipped engines from what was stored: ``python tools/published_tables.py [--check]``.

``train/results/*.json`` are reports of ``bandrt train evaluate`` about the engine ``fast``, but for ``accurate-*.json``, which are
those of ``bandrt train hamiltonian score`` about ``accurate``, ``tries.json``, what was tried with it, ``screening-*.json``, those
of ``bandrt train calibrate`` about either, and ``ablation.json``, the rows of ``bandrt train compare --json``;
``benchmarks/results/*.json`` are what the benchmarks saved. From them come the model cards beside the engines, the tables of
``train/RESULTS.md`` and those of the README, so that no two of them can say different things.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bandrt.engine import SHIPPED_ENGINES, read_manifest
from bandrt.files import file_sha256, replaced
from bandrt_train.evaluation import ablation
from bandrt_train.evaluation.calibration import calibration
from bandrt_train.evaluation.card import card, data_section, ensemble_clause
from bandrt_train.evaluation.hamiltonian.classes import ALL
from bandrt_train.evaluation.hamiltonian.scores import direct_line
from bandrt_train.evaluation.judgement import MODEL
from bandrt_train.evaluation.markdown import calibration_line, overview, replace_block, section
from bandrt_train.evaluation.report import read_report
from bandrt_train.evaluation.screening.report import read_screening
from bandrt_train.evaluation.screening.tables import directness_line, hits_table, reliability_table
from bandrt_train.evaluation.tables import markdown_table, shown
from bandrt_train.hamiltonian_checkpoint import load_hamiltonian
from bandrt_train.weights import SHIPPED_CHECKPOINTS

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "train" / "results"
BENCHMARKS = ROOT / "benchmarks" / "results"
REPORTS = ("test", "validation", "external")
"""In this order; the README shows the first."""
N_IN_README = 1
HELD_OUT, FOLDS, GAPS = "accurate-held-out", "accurate-folds", "engine-gaps"
"""Scores of the accurate engine beside the fast one, and of its configuration on all folds; gaps of both engines."""
SCREENING = "screening"
"""How reports of `bandrt train calibrate` begin; the name of the engine follows."""
GAPS_ALL = "engine-gaps-all"
"""Gaps of both engines on all crystals of the test split, of which `GAPS` has some."""
GAP_BASELINE = "gap-baseline"
"""Gaps of the crystals of `GAPS` by a model that knows gaps alone."""
TRIES = "tries"
"""What was tried with the configuration of the accurate engine, from its members on, beside the same without."""
CURVE = "learning-curve"
"""Error of the paper's model against the number of crystals that it learns from."""
PAPER = {"center_mae_ev": 0.072, "dispersion_mae_ev": 0.084, "energy_mae_ev": 0.117, "gap_mae_ev": 0.164}
"""Table I of arXiv 2411.16483, all test crystals."""
PAPER_CRYSTALS = 52_861
ACCURATE = {
    "energy_mae_ev": "energy MAE, eV",
    "counted_mae_ev": "counted, eV",
    "gap_mae_ev": "gap MAE of non-metals, eV",
    "metal_accuracy": "metal or not, right",
    "direct_gap_mae_ev": "direct gap MAE, eV",
    "direct_accuracy": "direct or indirect, right",
    "indirect_share": "always indirect, right",
}
"""Fields of a class of crystals, and what they are called; scores of earlier versions have none of the last three."""
OF_ONE = ("counted_mae_ev", "indirect_share")
"""Fields that are the same whatever stands beside, or that only the accurate engine has."""
WITH_INTERVAL = ("energy_mae_ev", "direct_accuracy")
ACCURATE_IN_README = ("energy_mae_ev", "gap_mae_ev")
BESIDE_IN_README = (MODEL, "nearest neighbour")
"""The models that the README shows of the reports; the other baseline is a weaker one."""
SOURCES = (
    "Labels: made for this project, CC BY 4.0 (`train/labels`). Gaps and most geometries: the Materials Project, CC BY 4.0"
    " (doi 10.1063/1.4812323; `train/gaps`). Pretraining: a tight-binding model in the public domain (`train/tight-binding`)."
)
N_WORST = 5
"""Crystals that a card names as failures."""
WANTED_RATIO = 2.0
"""How much faster than PyTorch Geometric an engine shall be."""
ENGINE = ROOT / "runtime" / "bandrt" / "models" / SHIPPED_ENGINES["fast"].name


def published() -> dict[Path, str]:
    """What each file must say."""
    reports = {name: read_report(RESULTS / f"{name}.json") for name in REPORTS}
    readme, results = ROOT / "README.md", ROOT / "train" / "RESULTS.md"
    sets = [one for name in REPORTS[:N_IN_README] for one in reports[name]["sets"]]
    figures = overview([{**one, "models": {name: one["models"][name] for name in BESIDE_IN_README}} for one in sets], "`fast`")
    sections = [section(one) for report in reports.values() for one in report["sets"]]
    rows = json.loads((RESULTS / "ablation.json").read_text(encoding="utf-8"))
    text = replace_block(results.read_text(encoding="utf-8"), "shipped", "\n\n".join(sections))
    text = replace_block(replace_block(text, "accurate", accurate_sections()), "engine-gaps", gap_section())
    text = replace_block(replace_block(text, "tries", tries_table()), "curve", curve_table())
    text = replace_block(text, "screening", screening_sections())
    page = replace_block(readme.read_text(encoding="utf-8"), "figures", figures)
    page = replace_block(page, "engines", engines_table(read_scores(HELD_OUT)))
    return {
        ENGINE.with_name("README.md"): card(read_manifest(ENGINE), file_sha256(ENGINE), list(reports.values()), sources=SOURCES),
        ENGINE.with_name("ACCURATE.md"): accurate_card(),
        readme: replace_block(page, "speed", speed_table()),
        results: replace_block(text, "ablation", ablation.table(rows)),
    }


def read_scores(name: str) -> dict[str, Any]:
    """What ``bandrt train hamiltonian score`` stored."""
    found = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def accurate_sections() -> str:
    """What was scored of the accurate engine, and of its configuration where all folds are scored."""
    held_out = read_scores(HELD_OUT)
    parts = [
        f"### Held-out formulas, {counts(held_out['classes'])}",
        f"The ensemble that ships, beside the fast engine on the {held_out['beside']['own'][ALL]['n_crystals']} of them that"
        " neither has learned; in brackets where 95 % of resamplings of the crystals lie.",
        beside_table(held_out["beside"]["own"], held_out["beside"]["other"]),
        *direct_lines(held_out),
        uncertainty_line(held_out),
        *left_out_lines(held_out),
    ]
    if (RESULTS / f"{FOLDS}.json").exists():
        folds = read_scores(FOLDS)
        parts += [
            f"### All labels in {len(folds['members'])} folds, {counts(folds['classes'])}",
            f"{judges_of(folds)} each scored on the formulas that its fold held out.",
            class_table(folds["classes"]),
            *beside_lines(folds),
            *direct_lines(folds),
            *left_out_lines(folds),
        ]
    return "\n\n".join(parts)


def judges_of(folds: dict[str, Any]) -> str:
    """What was scored on the folds: models alone, or ensembles, which alone say what error they expect."""
    ensembles = any(row["uncertainty_ev"] is not None for row in folds["crystals"])
    made, n_folds = "Ensembles of two members," if ensembles else "Single models,", len(folds["members"])
    return f"{made} made as the one that ships, of {n_folds - 1} of {n_folds} parts of the labels. They are"


def gap_section() -> str:
    """Gaps of the engines beside those of the Materials Project, and on some of its crystals beside a model of gaps alone."""
    everything, report, baseline = read_scores(GAPS_ALL), read_scores(GAPS), read_scores(GAP_BASELINE)
    assert all(report[name] == baseline[name] for name in ("table", "max_atoms", "n_drawn"))
    compared = engines_of(report) | {baseline["model"]["name"]: baseline["classes"]}
    parts = [
        f"### Gaps of the Materials Project, all {everything['n_drawn']:,} crystals of the test split",
        "Those of `train/gaps`, of formulas that neither engine has learned a band or a gap of (`tools/engine_gaps.py`). Crystals"
        " with V to Ni are magnetic there, and the accurate engine knows no spin: alone it calls most of their non-metals metals."
        " So it hands them over to `fast`, and those with elements that it has seen no bands of, with the warning `handed-over`.",
        gap_table(engines_of(everything)),
        f"Beside a model of gaps alone, on {report['n_drawn']} of them, of up to {report['max_atoms']} atoms:",
        gap_table(compared),
        baseline_line(baseline),
    ]
    return "\n\n".join(parts)


def engines_of(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Of each engine the errors by class."""
    return {name: values["classes"] for name, values in report["engines"].items()}


def gap_table(classes: dict[str, dict[str, Any]]) -> str:
    """Errors of the gaps of several models, by elements and by size."""
    fields = {"gap_mae_ev": "gap MAE of non-metals, eV", "metal_accuracy": "metal or not, right"}
    header = ["", "crystals", "non-metals", *(f"{title}: {name}" for title in fields.values() for name in classes)]
    rows = [
        (
            name,
            str(own["n_crystals"]),
            str(own["n_non_metals"]),
            *(shown(of[name][field]) for field in fields for of in classes.values()),
        )
        for name, own in classes["fast"].items()
    ]
    return markdown_table(header, rows)


def tries_table() -> str:
    """Differences that tries made to the errors of the accurate engine's configuration, with standard errors over crystals."""
    report = read_scores(TRIES)
    fields = {field: title for field, title in ACCURATE.items() if field in report["baseline"]}
    before, runs = report["baseline"], report["runs"]
    rows = [("as it was", str(len(before["seeds"])), *(shown(before[field]) for field in fields), "1")]
    usual = np.mean([run["cpu_s"] for run in runs if run["try"] == "base"])
    for one in report["tries"]:
        changes = [f"{mean:+.3f} ± {error:.3f}" for mean, error in (one["difference"][field] for field in fields)]
        cpu = np.mean([run["cpu_s"] for run in runs if run["try"] == one["name"]])
        rows.append((one["what"], str(len(one["seeds"])), *changes, f"{cpu / usual:.1f}"))
    return markdown_table(("", "seeds", *fields.values(), "CPU time of training"), rows)


def screening_sections() -> str:
    """What shortlists of each engine are worth."""
    parts = []
    for name in SHIPPED_ENGINES:
        values = read_screening(RESULTS / f"{SCREENING}-{name}.json")
        size = "" if values["max_atoms"] is None else f" of up to {values['max_atoms']} atoms"
        n_tested = len(values["gaps of test"]["id"])
        parts += [
            f"### Shortlists of `{name}`, {n_tested} crystals{size}",
            hits_table(values["gaps"]),
            "Crystals by `p_match`: how many have such a probability, its mean, and the share of them that are hits.",
            reliability_table(values["gaps"]),
            directness_line(values["calibration"]["direct"], values["direct"]),
        ]
    return "\n\n".join(parts)


def curve_table() -> str:
    """Errors of the paper's model by the number of crystals, and those of the paper, as a Markdown table."""
    report = read_scores(CURVE)
    titles = ("band centre MAE, eV", "dispersion MAE, eV", "energy MAE, eV", "gap MAE of non-metals, eV", "metal or not, right")
    fields = (*PAPER, "metal_accuracy")
    points = [(f"{point['n_crystals']:,}", point["test"]["total"]) for point in report["curve"]]
    points.append(("training mean", report["training mean"]["total"]))
    rows = [(name, *(shown(errors[field]) for field in fields)) for name, errors in points]
    rows.append((f"the paper, of {PAPER_CRYSTALS:,}", *(shown(value) for value in PAPER.values()), "-"))
    return markdown_table(("training crystals", *titles), rows)


def baseline_line(baseline: dict[str, Any]) -> str:
    """What the model of gaps alone is, and how it was trained."""
    model, training, versions = baseline["model"], baseline["training"], baseline["versions"]
    return (
        f"{model['name']} knows gaps alone: MatGL's ({versions['matgl']}), {model['n_parameters']:,} parameters, trained from"
        f" nothing on the {training['n_crystals']:,} crystals of the training split with up to {baseline['max_atoms']} atoms for"
        f" {training['epochs']} epochs, {training['cpu_minutes']:.0f} minutes of one core, to the mean absolute error; a gap below"
        f" {model['metal_below_ev']:.2f} eV is a metal, as the validation split chose. That is little beside what its authors"
        f" train: what more would give is not known. {baseline['failed']} of the crystals are not counted for it, since it"
        f" has no graph of them: no atoms within {model['cutoff_angstrom']:.0f} Å, or an element that it does not know"
        " (`benchmarks/gap_baseline.py`)."
    )


def accurate_card() -> str:
    """The model card of the accurate engine, from its checkpoint and its scores."""
    checkpoint, scores = load_hamiltonian(SHIPPED_CHECKPOINTS["accurate"]), read_scores(HELD_OUT)
    assert checkpoint.ensemble is not None
    worst = sorted(scores["crystals"], key=lambda one: one["energy_ev"], reverse=True)[:N_WORST]
    named = ", ".join(f"{one['formula']} {one['id']} ({shown(one['energy_ev'])})" for one in worst)
    rows = [
        (
            "what",
            "a learned tight-binding Hamiltonian, nine orbitals an atom, whose eigenvalues are the bands"
            + ensemble_clause(checkpoint.ensemble),
        ),
        ("licence", "MIT"),
        ("checksum", f"checkpoint `{checkpoint.sha256[:16]}`"),
    ]
    parts = [
        "# Model card of the accurate engine",
        "Made by `tools/published_tables.py` from the checkpoint and its scores; not edited by hand. That of the fast one is"
        " `README.md`.",
        "| | |\n| --- | --- |\n" + "\n".join(f"| {name} | {value} |" for name, value in rows),
        data_section(checkpoint.training, SOURCES),
        "## Errors",
        f"{counts(scores['classes'])}, of formulas never trained on. *Counted*: the bands are counted by electrons, and not from"
        " the highest nonempty one as the engine judges it.",
        class_table(scores["classes"]),
        *direct_lines(scores),
        uncertainty_line(scores),
        f"Worst crystals, eV: {named}.",
        "## Domain",
        "Not for V to Ni, of which there are few labels and none among these crystals, nor for actinides: no spin, no f shell."
        " Lanthanides have 4f in the core, and few labels. No spin-orbit coupling. Labels are semilocal DFT: gaps are too small, as"
        " its gaps are. Errors in cells larger than those of the training are not known.",
    ]
    return "\n\n".join(parts) + "\n"


def counts(classes: dict[str, Any]) -> str:
    """How many crystals, and metals of them."""
    return f"{classes[ALL]['n_crystals']} crystals, {classes['metals']['n_crystals']} of them metals"


def with_interval(means: dict[str, Any], field: str) -> str:
    """An error with what chance allows, where both are known."""
    known = means["intervals"][field]
    return shown(means[field]) + ("" if known is None else f" ({known[0]:.2f} to {known[1]:.2f})")


def fields_of(classes: dict[str, Any]) -> dict[str, str]:
    """The fields that stored scores have, and what they are called."""
    return {field: title for field, title in ACCURATE.items() if field in classes[ALL]}


def cell(means: dict[str, Any], field: str) -> str:
    """One figure of a table of classes."""
    return with_interval(means, field) if field in WITH_INTERVAL else shown(means[field])


def class_table(classes: dict[str, Any]) -> str:
    """Errors of one model by class of crystals."""
    fields = fields_of(classes)
    rows = [(name, str(means["n_crystals"]), *(cell(means, field) for field in fields)) for name, means in classes.items()]
    return markdown_table(("", "crystals", *fields.values()), rows)


def beside_table(own: dict[str, Any], other: dict[str, Any]) -> str:
    """Errors of the accurate engine and of the fast one by class of crystals; only the first has counted bands."""
    header, columns = ["", "crystals"], []
    for field, title in fields_of(own).items():
        engines = ("accurate",) if field in OF_ONE else ("accurate", "fast")
        columns += [(field, engine) for engine in engines]
        header += [title if field == "indirect_share" else f"{title}: {engine}" for engine in engines]
    rows = []
    for name, means in own.items():
        assert means["n_crystals"] == other[name]["n_crystals"]
        cells = (cell(means if engine == "accurate" else other[name], field) for field, engine in columns)
        rows.append((name, str(means["n_crystals"]), *cells))
    return markdown_table(header, rows)


def direct_lines(scores: dict[str, Any]) -> list[str]:
    """A line on how direct is told from indirect, if that was scored."""
    return [direct_line(scores["direct"])] if "direct" in scores else []


def fitted_to(scores: dict[str, Any]) -> str:
    """Which crystals the uncertainty of the accurate engine was fitted to, these or others."""
    rule = load_hamiltonian(SHIPPED_CHECKPOINTS["accurate"]).ensemble
    assert rule is not None
    if rule.n_crystals == len(scores["crystals"]):
        return "These are the crystals that the uncertainty was fitted to."
    return (
        f"The uncertainty was fitted to {rule.n_crystals} other crystals, each by what an ensemble expected that had held out its"
        " formula: here it is tested."
    )


def uncertainty_line(scores: dict[str, Any]) -> str:
    """How far its uncertainty goes with its errors."""
    expected, found = (np.array([row[name] for row in scores["crystals"]], dtype=float) for name in ("uncertainty_ev", "energy_ev"))
    made = calibration(expected, found)
    assert made is not None
    return f"{fitted_to(scores)} {calibration_line({'calibration': asdict(made)})}"


def beside_lines(scores: dict[str, Any]) -> list[str]:
    """The fast engine on the crystals of the folds that it has not learned either, if it was scored."""
    if "beside" not in scores:
        return []
    own, other = (scores["beside"][name][ALL] for name in ("own", "other"))
    shipped = scores["beside"]["model"] == file_sha256(SHIPPED_CHECKPOINTS["fast"])
    fast = "the fast engine" if shipped else "the fast engine of that time"
    return [
        f"On the {own['n_crystals']} of them that {fast} has not learned either, its energy MAE is"
        f" {shown(other['energy_mae_ev'])} eV, theirs {shown(own['energy_mae_ev'])} eV."
    ]


def left_out_lines(scores: dict[str, Any]) -> list[str]:
    """A line on crystals that were not scored, if there are any."""
    refused = [f"{one['id']} ({one['code']})" for one in scores["left_out"]]
    return [f"Left out: {', '.join(refused)}."] if refused else []


def engines_table(scores: dict[str, Any]) -> str:
    """Both engines on the crystals that neither has learned, as a Markdown table."""
    own, other = scores["beside"]["own"], scores["beside"]["other"]
    rows = [(ACCURATE[field], *(with_interval(one[ALL], field) for one in (own, other))) for field in ACCURATE_IN_README]
    return markdown_table((counts(own), "`accurate`", "`fast`"), rows)


def benchmark(name: str) -> dict[str, Any]:
    """The newest results that a benchmark saved under this name."""
    found = json.loads(max(BENCHMARKS.glob(f"{name}-*.json")).read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def speed_table() -> str:
    """What was measured beside what was wanted, as a Markdown table."""
    features, bench = benchmark("featurize"), benchmark("bench")
    beside = features["pymatgen"]["stages_ms"]["total"]
    chunks, others, alone_ms = (
        features["chunks_mean_ms"]["total"],
        features["others"]["mean_ms"],
        features["alone_ms"]["total"]["mean"],
    )
    rows = [
        (
            f"featurisation of {features['crystals']['count']:,} crystals of up to {features['crystals']['max_atoms']} atoms, mean",
            f"{chunks:.2f} ms in chunks, {beside['ratio_in_chunks']:.0f} times faster than the same steps in pymatgen"
            f" (median, alone: {beside['median_ratio_alone']:.0f});"
            f" {others:.2f} ms in a single pass over others; {alone_ms:.2f} ms alone",
            "0.5 ms; 250 times",
        )
    ]
    for name, variant in (("shipped engine", "bloch"), ("`paper` variant", "paper")):
        measured = benchmark(f"onnx_vs_pyg-{variant}")["rows"]
        alone, sixteen = ([row["ratio"] for row in measured if row["batch"] == n] for n in (1, 16))
        missed = "" if min(alone + sixteen) >= WANTED_RATIO else ": **missed**"
        rows.append(
            (
                f"{name}, ONNX Runtime against PyTorch Geometric, batches of 1 and 16",
                f"{span(alone)} and {span(sixteen)} times faster",
                f"{WANTED_RATIO:.0f} times{missed}",
            )
        )
    own, earlier = bench["engines"][0]["name"], bench["engines"][1]["name"]
    ratios = [row["ratio"] for row in bench["latency"] if row["contender"] == own]
    single = [
        (row["max_atoms"], row["latency"]["p50_ms"]) for row in bench["latency"] if (row["contender"], row["batch"]) == (own, 1)
    ]
    shown = [single[0], min(single, key=lambda one: abs(one[0] - 10)), single[-1]]
    sizes, times = (", ".join(texts) for texts in zip(*((str(n), f"{ms:.1f}") for n, ms in shown), strict=True))
    rows.append((f"`fast`, one crystal of {sizes} atoms, median", f"{times} ms", ""))
    rows.append((f"`fast` against the one before it ({earlier}), batches of 1 and 16", f"{span(ratios)} times faster", "2 times"))
    return "\n".join(["| | measured | wanted |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)])


def span(values: list[float]) -> str:
    """From the lowest to the highest, to a tenth."""
    low, high = f"{min(values):.1f}", f"{max(values):.1f}"
    return low if low == high else f"{low} to {high}"


def main() -> int:
    """Write or check; 1 when a file does not say what it must."""
    check = sys.argv[1:] == ["--check"]
    stale = {path: text for path, text in published().items() if not path.exists() or path.read_text(encoding="utf-8") != text}
    for path, text in stale.items():
        sys.stderr.write(f"{path.relative_to(ROOT)} {'is out of date' if check else 'written'}\n")
        if not check:
            with replaced(path) as file:
                file.write(text)
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
