"""The report of an evaluation on disk: ``report.json``, ``crystals.csv`` and ``report.html`` in one folder.

``report.json`` holds every figure that is published anywhere: README, model card and result tables are made from it. It names
files and data sets without their folders, so that it is the same wherever it was made.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bandrt import __version__
from bandrt.errors import BandrtError, OutputInTheWayError, reason_of
from bandrt.files import check_file, check_folder, replaced, require_there
from bandrt.results.summary import cell_of
from bandrt_train.evaluation.breakdown import by_crystal_system, by_element, crystal_system, quintiles
from bandrt_train.evaluation.calibration import calibration
from bandrt_train.evaluation.errors import EvaluationError
from bandrt_train.evaluation.judgement import MODEL, Judgement
from bandrt_train.evaluation.metrics import CrystalErrors, average, interval, table_one
from bandrt_train.evaluation.screening.judged import judged_hits

FORMAT_VERSION = 1
REPORT, CRYSTALS, PAGE = "report.json", "crystals.csv", "report.html"
DECIMALS = 6
LISTED_CRYSTALS = 100
"""A data set of no more crystals is listed one by one."""
N_WORST = 5


def summary(model: Path, judgements: Sequence[Judgement]) -> dict[str, Any]:
    """Everything that ``report.json`` says, as plain JSON values.

    Args:
        model: the file that was judged.
        judgements: at least one, of that model.
    """
    facts = judgements[0].predictions.model
    values = {
        "format_version": FORMAT_VERSION,
        "bandrt_version": __version__,
        "model": {
            "file": model.name,
            "sha256": facts.sha256,
            "checkpoint_sha256": facts.checkpoint_sha256,
            "variant": facts.variant,
            "metal_tolerance_ev": facts.rule.metal_tolerance_ev,
        },
        "sets": [_set(judgement) for judgement in judgements],
    }
    rounded = _rounded(values)
    assert isinstance(rounded, dict)
    return rounded


def crystal_rows(judgement: Judgement) -> list[dict[str, Any]]:
    """One row per crystal: what the label says, what was predicted, how far off; None where there is nothing to judge by."""
    errors, predicted = judgement.errors[MODEL], judgement.predicted[MODEL]
    uncertainty = judgement.predictions.uncertainty_ev
    rows = []
    for i, (record, target) in enumerate(zip(judgement.records, judgement.targets, strict=True)):
        rows.append(
            {
                "data": judgement.dataset.folder.name,
                "id": record["id"],
                "formula": record["formula"],
                "space_group": record["space_group"],
                "crystal_system": crystal_system(record["space_group"]),
                "n_atoms": record["n_atoms"],
                "labelled": float(target.mask.mean()),
                "formula_seen": None if judgement.seen is None else bool(judgement.seen[i]),
                "center_mae_ev": _known(errors.center_ev[i]),
                "dispersion_mae_ev": _known(errors.dispersion_ev[i]),
                "energy_mae_ev": _known(errors.energy_ev[i]),
                "is_metal": target.is_metal,
                "predicted_metal": bool(predicted.metal[i]),
                "band_gap_ev": target.band_gap,
                "predicted_gap_ev": float(predicted.gap[i]),
                "direct_excess_ev": _known(errors.excess_ev[i]),
                "predicted_direct_excess_ev": None if predicted.metal[i] else _known(errors.said_excess_ev[i]),
                "uncertainty_ev": None if uncertainty is None else float(uncertainty[i]),
            }
        )
    rounded = _rounded(rows)
    assert isinstance(rounded, list)
    return rounded


def check_report_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that no report can be written to, before the work; changes nothing.

    Raises:
        OutputError: ``output-not-a-folder``, ``output-unwritable``, ``output-exists`` or ``output-foreign``.
    """
    check_folder(folder)
    if folder.exists() and any(folder.iterdir()):
        try:
            read_report(folder / REPORT)
        except BandrtError as error:
            raise OutputInTheWayError(
                "output-foreign", f"{folder}: is not empty and no report (it has no {REPORT} of ours); choose another folder"
            ) from error
    for name in (REPORT, PAGE, CRYSTALS):
        check_file(folder / name, overwrite=overwrite)


def write_report(folder: Path, values: dict[str, Any], judgements: Sequence[Judgement], page: str) -> None:
    """Write the three files.

    Args:
        folder: where; made if it is not there, earlier reports are replaced.
        values: see `summary`.
        judgements: what the values are about.
        page: the HTML.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for judgement in judgements for row in crystal_rows(judgement)]
    with replaced(folder / CRYSTALS) as file:
        table = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows({key: cell_of(value) if isinstance(value, str) else value for key, value in row.items()} for row in rows)
    with replaced(folder / PAGE) as file:
        file.write(page)
    with replaced(folder / REPORT) as file:
        json.dump(values, file, ensure_ascii=False, indent=1)
        file.write("\n")


def read_report(path: Path) -> dict[str, Any]:
    """Read a ``report.json``.

    Raises:
        NotFoundError: ``file-not-found``.
        EvaluationError: ``not-a-report``, for another format, too.
    """
    try:
        values = json.loads(require_there(path).read_text(encoding="utf-8"))
        version = values["format_version"]
        found = version == FORMAT_VERSION and values["sets"] and values["model"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError("not-a-report", f"{path}: not a report of bandrt train evaluate ({reason_of(error)})") from error
    if not found:
        raise EvaluationError(
            "not-a-report", f"{path}: report format {version!r}, this bandrt reads {FORMAT_VERSION}; evaluate again"
        )
    assert isinstance(values, dict)
    return values


def _set(judgement: Judgement) -> dict[str, Any]:
    errors, records, header = judgement.errors[MODEL], judgement.records, judgement.dataset.header
    uncertainty = judgement.predictions.uncertainty_ev
    calibrated = None if uncertainty is None else calibration(uncertainty.astype(np.float64), errors.energy_ev)
    values: dict[str, Any] = {
        "data": judgement.dataset.folder.name,
        "kind": judgement.kind,
        "split": judgement.split,
        "split_rule": asdict(header.recipe.splits),
        "fingerprint": header.fingerprint,
        "training_known": judgement.training_known,
        "methods": sorted({record["method"] for record in records}),
        "n_crystals": len(records),
        "n_formulas_seen": None if judgement.seen is None else int(judgement.seen.sum()),
        "models": {name: table_one(one).as_dict() for name, one in judgement.errors.items()},
        "intervals": {name: _intervals(one) for name, one in judgement.errors.items()},
        "by_crystal_system": {name: asdict(one) for name, one in by_crystal_system(errors, records).items()},
        "by_element": {name: asdict(one) for name, one in by_element(errors, records).items()},
        "by_formula": {},
        "quintiles": [asdict(one) | {"examples": [records[i]["id"] for i in one.examples]} for one in quintiles(errors.energy_ev)],
        "calibration": None if calibrated is None else asdict(calibrated),
        "screening": judged_hits(judgement),
        "worst": _worst(judgement),
        "crystals": crystal_rows(judgement) if len(records) <= LISTED_CRYSTALS else [],
        "refused": [],
    }
    if judgement.seen is not None and judgement.seen.any():
        groups = {"seen in training": judgement.seen, "new": ~judgement.seen}
        values["by_formula"] = {
            name: {who: asdict(average(one, member)) for who, one in judgement.errors.items()} for name, member in groups.items()
        }
    if judgement.split == "all":  # of a part, nobody knows which documents would have been in it
        values["refused"] = [{"id": r.id, "code": r.code, "message": _nameless(r)} for r in judgement.dataset.refusals()]
    return values


def _worst(judgement: Judgement) -> list[dict[str, Any]]:
    """The crystals with the largest errors of energy or, where there are no bands, of the gap."""
    errors = judgement.errors[MODEL]
    error = errors.energy_ev if judgement.kind == "bands" else errors.gap_ev
    order = [int(i) for i in np.argsort(-error, kind="stable") if not np.isnan(error[i])][:N_WORST]
    return [
        {"id": judgement.records[i]["id"], "formula": judgement.records[i]["formula"], "error_ev": float(error[i])} for i in order
    ]


def _nameless(refusal: Any) -> str:
    """The message of a refusal without the folder of its document."""
    return str(refusal.message).replace(str(Path(refusal.source).parent) + "/", "")


def _intervals(errors: CrystalErrors) -> dict[str, tuple[float, float] | None]:
    return {
        "energy_mae_ev": interval(errors.energy_ev),
        "gap_mae_ev": interval(errors.gap_ev),
        "metal_accuracy": interval(errors.right),
        "direct_gap_mae_ev": interval(errors.direct_gap_ev),
        "direct_accuracy": interval(errors.direct_right),
    }


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return round(value, DECIMALS) if isinstance(value, float) else value
