"""A calibration with what it was fitted to and how it is tested, as JSON: what is published of it is made from this file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bandrt.calibration import GapCalibration
from bandrt.errors import reason_of
from bandrt.files import replaced, require_there
from bandrt_train.data.dataset import Split
from bandrt_train.evaluation.errors import EvaluationError
from bandrt_train.evaluation.screening.labelled import FITTED, TESTED, DirectLabels, HeldOut
from bandrt_train.evaluation.screening.reliability import direct_reliability, gap_reliability

FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Calibrated:
    """A calibration, and the crystals of both splits: with gaps, and with direct or indirect gaps."""

    calibration: GapCalibration
    gaps: dict[Split, HeldOut]
    direct: DirectLabels | None


def values_of(calibrated: Calibrated, tables: Sequence[Path], *, max_atoms: int | None) -> dict[str, Any]:
    """All that the file says."""
    calibration, direct = calibrated.calibration, calibrated.direct
    return {
        "format_version": FORMAT_VERSION,
        "tables": [table.name for table in tables],
        "max_atoms": max_atoms,
        "calibration": dataclasses.asdict(calibration),
        "gaps": gap_reliability(calibration, calibrated.gaps[TESTED]),
        "direct": None if direct is None else direct_reliability(calibration, direct.held_out[TESTED]),
        **{f"gaps of {split}": one.as_columns() for split, one in calibrated.gaps.items()},
        **({} if direct is None else {f"direct gaps of {split}": one.as_columns() for split, one in direct.held_out.items()}),
        **({} if direct is None else {"direct gaps": {"known": direct.known.astype(int).tolist()}}),
    }


def write_screening(path: Path, values: dict[str, Any]) -> None:
    """Write the file, a line for each of what it says, so that a change can be read."""
    lines = [f"{json.dumps(name)}: {_laid_out(value)}" for name, value in values.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")


def read_screening(path: Path) -> dict[str, Any]:
    """Read what `write_screening` wrote.

    Raises:
        NotFoundError: ``file-not-found``.
        EvaluationError: ``not-a-report``, for another format, too.
    """
    try:
        values = json.loads(require_there(path).read_text(encoding="utf-8"))
        found = values["format_version"] == FORMAT_VERSION and values["gaps"] and values["calibration"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError("not-a-report", f"{path}: not a report of bandrt train calibrate ({reason_of(error)})") from error
    if not found:
        raise EvaluationError("not-a-report", f"{path}: a report of another version of bandrt train calibrate; calibrate again")
    assert isinstance(values, dict)
    return values


def crystals_of(values: dict[str, Any]) -> Calibrated:
    """The calibration and the crystals that a file holds."""
    from bandrt.typed_values import from_mapping

    gaps = {split: HeldOut.from_columns(values[f"gaps of {split}"]) for split in (FITTED, TESTED)}
    direct = None
    if "direct gaps" in values:
        held_out = {split: HeldOut.from_columns(values[f"direct gaps of {split}"]) for split in (FITTED, TESTED)}
        direct = DirectLabels(held_out, np.array(values["direct gaps"]["known"], np.float64))
    return Calibrated(from_mapping(GapCalibration, values["calibration"], name="report"), gaps, direct)


def _laid_out(value: Any) -> str:
    """JSON with a line for each column of a table of crystals, or each window."""
    if isinstance(value, dict) and value and all(isinstance(one, list) for one in value.values()):
        return "{\n" + ",\n".join(f" {json.dumps(name)}: {_compact(one)}" for name, one in value.items()) + "\n}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f" {_compact(one)}" for one in value) + "\n]"
    return json.dumps(value, allow_nan=False)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
