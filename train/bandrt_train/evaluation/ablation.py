"""Ablation: training runs side by side, those that differ in nothing but the seed in one row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bandrt.errors import BandrtError, reason_of
from bandrt.files import require_there
from bandrt.nested import differences, flat
from bandrt_train.description import read_description
from bandrt_train.evaluation.tables import METRICS, markdown_table


class AblationError(BandrtError):
    """Runs that cannot be compared."""


@dataclass(frozen=True)
class TrainingRun:
    """One run folder.

    Attributes:
        folder: its name.
        name: what its row is called; empty where nobody says.
        seed: of the run.
        data_sha256: the data set.
        settings: everything else that could differ, flat: ``model.d_model``, ``gaps``, ``parent``...
        metrics: total errors on the validation split.
        n_parameters: trained numbers.
    """

    folder: str
    name: str
    seed: int
    data_sha256: str
    settings: dict[str, Any]
    metrics: dict[str, float | None]
    n_parameters: int


@dataclass(frozen=True)
class AblationRow:
    """Runs that differ in their seed alone.

    Attributes:
        name: what they are called, or how they differ from those of the first row.
        seeds: of the runs.
        folders: of the runs.
        n_parameters: of each model.
        mean: of each metric over the runs, None where a run has none.
        spread: standard deviation over the runs (of a sample), None for a single run.
    """

    name: str
    seeds: tuple[int, ...]
    folders: tuple[str, ...]
    n_parameters: int
    mean: dict[str, float | None]
    spread: dict[str, float | None]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def training_run(folder: Path, name: str = "") -> TrainingRun:
    """Read ``config.json``, ``validation.json`` and ``checkpoint.pt`` of a run.

    Args:
        folder: the run folder.
        name: what its row is to be called; empty: how it differs from the first row.

    Raises:
        NotFoundError: ``file-not-found``.
        AblationError: ``not-a-run``.
        CheckpointError: the checkpoint cannot be read.
    """
    try:
        config = json.loads((require_there(folder) / "config.json").read_text(encoding="utf-8"))
        validation = json.loads((folder / "validation.json").read_text(encoding="utf-8"))
        metrics = {name: validation["model"]["total"].get(name) for name in METRICS}
        seed = int(config.pop("seed"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AblationError("not-a-run", f"{folder}: not a finished run of bandrt train fit ({reason_of(error)})") from error
    checkpoint = read_description(folder / "checkpoint.pt")
    domain = checkpoint.training
    settings = flat(config) | {"gaps": domain.n_gaps, "pretraining": " then ".join(domain.pretraining) or "none"}
    if not domain.n_gaps:  # what is said of gaps means nothing without any
        settings = {name: value for name, value in settings.items() if not name.startswith("gaps.")}
    return TrainingRun(folder.name, name, seed, domain.data_sha256, settings, metrics, checkpoint.n_parameters)


def compare(runs: Sequence[TrainingRun]) -> list[AblationRow]:
    """Put runs that differ in their seed alone into one row; rows in the order of their first run.

    Raises:
        AblationError: ``other-data`` for runs on another data set, whose validation crystals differ; ``same-run`` for one seed
            twice; ``other-configuration`` for runs that share a name, not a configuration.
    """
    for run in runs:
        if run.data_sha256 != runs[0].data_sha256:
            raise AblationError(
                "other-data", f"{run.folder}: trained on other data than {runs[0].folder}; their errors do not compare"
            )
    groups: dict[str, list[TrainingRun]] = {}
    for run in runs:
        groups.setdefault(json.dumps([run.name, run.settings, run.n_parameters], sort_keys=True), []).append(run)
    rows = [_row(group, runs[0]) for group in groups.values()]
    for name, count in Counter(row.name for row in rows).items():
        if count > 1:
            raise AblationError(
                "other-configuration", f"{name!r} names {count} configurations; runs of one row differ in the seed alone"
            )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows, as `AblationRow.as_dict` gives them, as a Markdown table; the best mean of each column in bold."""
    fields = [field for field in METRICS if any(row["mean"].get(field) is not None for row in rows)]
    best = {}
    for field in fields:
        means = [row["mean"][field] for row in rows if row["mean"].get(field) is not None]
        best[field] = min(means) if field.endswith("_ev") else max(means)
    lines = []
    for row in rows:
        cells = [_cell(row["mean"].get(field), row["spread"].get(field), best[field]) for field in fields]
        lines.append((row["name"], f"{row['n_parameters'] / 1e6:.2f}", str(len(row["seeds"])), *cells))
    return markdown_table(("", "parameters, M", "seeds", *(METRICS[field] for field in fields)), lines)


def _row(group: Sequence[TrainingRun], first: TrainingRun) -> AblationRow:
    seeds = [run.seed for run in group]
    if len(set(seeds)) < len(seeds):
        names = ", ".join(run.folder for run in group)
        raise AblationError("same-run", f"{names}: seed {max(seeds, key=seeds.count)} of one configuration is there more than once")
    mean: dict[str, float | None] = {}
    spread: dict[str, float | None] = {}
    for name in METRICS:
        values = [value for run in group if (value := run.metrics[name]) is not None]
        complete = len(values) == len(group)
        mean[name] = float(np.mean(values)) if complete else None
        spread[name] = float(np.std(values, ddof=1)) if complete and len(values) > 1 else None
    folders = tuple(run.folder for run in group)
    name = group[0].name or _difference(group[0].settings, first.settings)
    return AblationRow(name, tuple(seeds), folders, group[0].n_parameters, mean, spread)


def _difference(settings: dict[str, Any], first: dict[str, Any]) -> str:
    if settings == first:
        words = (first.get("model.variant", "model"), first.get("model.node_features"), first["gaps"] and f"{first['gaps']} gaps")
        return ", ".join(word for word in words if word)
    names = sorted(one.name for one in differences(settings, first))
    return ", ".join(f"{name} {settings.get(name, '-')}" for name in names)


def _cell(mean: float | None, spread: float | None, best: float) -> str:
    if mean is None:
        return "-"
    text = f"{mean:.3f}" if spread is None else f"{mean:.3f} ± {spread:.3f}"
    return f"**{text}**" if mean == best else text
