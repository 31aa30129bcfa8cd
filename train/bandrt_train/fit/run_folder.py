"""The folder of a training run, and how far the run in it has come.

    ``config.json``       what is trained, and how,
    ``checkpoint.pt``     the weights with the lowest validation energy MAE so far, or those of the last epoch,
    ``log.csv``           one row per epoch,
    ``last.ckpt``         everything that the next epoch starts from; Lightning's format, of a learned Hamiltonian our own; both
                          are safe to load,
    ``validation.json``   at the end.

Each file is replaced as a whole, and ``last.ckpt`` says what ``checkpoint.pt`` has to hold and has the weights of the last epoch: a
run that is killed at any moment goes on from the end of an epoch.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bandrt.errors import OutputInTheWayError
from bandrt.files import check_cleared, check_folder, clear, remove_leftovers, replaced, temporary_beside
from bandrt.nested import differences
from bandrt_train.data.dataset import DatasetRecipe
from bandrt_train.fit.config import FitConfig
from bandrt_train.fit.hamiltonian.config import HamiltonianFit

STATE_KEY = "bandrt"
"""Where ``last.ckpt`` keeps what is ours."""
LogRow = dict[str, float]
"""One row of the log."""
CONFIG, CHECKPOINT, LOG, LAST, VALIDATION = "config.json", "checkpoint.pt", "log.csv", "last.ckpt", "validation.json"
TENSORBOARD = "tensorboard"
"""Folder of the log for TensorBoard."""
TENSORBOARD_LOGS = "events.out.tfevents."
"""How the names of its files begin."""


@dataclass(frozen=True)
class Identity:
    """What must be the same for a run to go on: anything else would be another run."""

    config: Mapping[str, Any]
    """The configuration, without where it runs."""
    data_sha256: str
    gaps_sha256: str
    parent_sha256: str
    teacher_sha256: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Of the data set, as plain values: what becomes of the documents, and which are held out; empty where there is none."""
    order_sha256: str = ""
    """Of the order in which all that is learned is read, by which it is drawn; the checksums above do not depend on it."""

    @classmethod
    def of(
        cls,
        config: FitConfig,
        recipe: DatasetRecipe,
        *,
        data_sha256: str,
        gaps_sha256: str,
        parent_sha256: str,
        teacher_sha256: str = "",
        order_sha256: str = "",
    ) -> Identity:
        """Keep of a configuration what decides the weights."""
        decisive = dataclasses.asdict(config) | {"trainer": {"precision": config.trainer.precision}}
        return cls(decisive, data_sha256, gaps_sha256, parent_sha256, teacher_sha256, dataclasses.asdict(recipe), order_sha256)

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """What was otherwise when `other`, plain values of an identity, was written."""
        own = json.loads(json.dumps(dataclasses.asdict(self)))
        for name in ("recipe", "order_sha256"):
            if name not in other:  # of a run that an earlier version began
                del own[name]
        found = differences(own, other)
        said = [f"{name} is {now!r}, was {before!r}" for name, now, before in found if name != "order_sha256"]
        return said if said or not found else ["the same data come in another order, or in parts of another size"]


def check_run_folder(path: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that no run can be written to, before any data are read; changes nothing.

    Raises:
        OutputError: ``output-not-a-folder``, ``output-unwritable``, ``output-exists`` or ``output-foreign``.
    """
    check_folder(path)
    if resume or not path.exists() or not any(path.iterdir()):
        return
    if not _is_run(path):
        raise OutputInTheWayError(
            "output-foreign", f"{path}: is not empty and no training run (it has no {CONFIG} of ours); choose another folder"
        )
    if not overwrite:
        raise OutputInTheWayError("output-exists", f"{path}: holds a run; add --resume to go on, or --overwrite to start again")
    check_cleared(path, _is_ours)


def _is_run(path: Path) -> bool:
    """Whether a folder was begun by training: others have files of these names, too."""
    try:
        values = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and {"model", "optimizer", "seed"} <= values.keys()


def _is_ours(path: Path) -> bool:
    """Whether a path inside a run folder is one that training makes."""
    if len(path.parts) == 1:
        return path.name in (CONFIG, CHECKPOINT, LOG, LAST, VALIDATION, TENSORBOARD)
    return path.parts[0] == TENSORBOARD and len(path.parts) == 2 and path.name.startswith(TENSORBOARD_LOGS)


class RunFolder:
    """A run folder, opened for writing."""

    def __init__(self, path: Path, identity: Identity) -> None:
        self.path = path
        self.identity = identity

    @property
    def checkpoint(self) -> Path:
        """The best weights so far."""
        return self.path / CHECKPOINT

    @property
    def last(self) -> Path:
        """What the next epoch starts from."""
        return self.path / LAST

    def check(self, *, resume: bool, overwrite: bool = False) -> None:
        """Refuse a folder that cannot be written to; where wanted, delete an earlier run in it.

        Raises:
            OutputError: as `check_run_folder`.
            OutputInTheWayError: to go on from what is there: ``not-resumable`` or ``other-run``.
        """
        check_run_folder(self.path, resume=resume, overwrite=overwrite)
        if not self.path.exists() or not any(self.path.iterdir()):
            return
        if overwrite:
            clear(self.path)
            return
        if not self.last.exists():
            if (self.path / VALIDATION).exists() or not (self.path / CONFIG).exists():
                raise OutputInTheWayError("not-resumable", f"{self.path}: holds no last.ckpt to go on from; choose another folder")
            return  # stopped within its first epoch
        if differences := self.identity.differences(json.loads(self.state()["identity"])):
            raise OutputInTheWayError("other-run", f"{self.path}: holds another run: {'; '.join(differences)}")

    def start(self, config: FitConfig | HamiltonianFit) -> None:
        """Make the folder and say what is trained in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.path, (CONFIG, CHECKPOINT, LOG, LAST, VALIDATION))
        with replaced(self.path / CONFIG) as file:
            json.dump(dataclasses.asdict(config), file, indent=1)

    def state(self) -> dict[str, Any]:
        """What `KeepBest` wrote into ``last.ckpt``.

        Raises:
            OutputInTheWayError: ``not-resumable`` for a damaged file.
        """
        try:
            state: dict[str, Any] = torch.load(self.last, map_location="cpu", weights_only=True)["callbacks"][STATE_KEY]
            return {name: state[name] for name in ("identity", "rows", "best")}
        except Exception as error:  # damaged bytes make torch's reader raise almost anything
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise OutputInTheWayError(
                "not-resumable", f"{self.last}: cannot be read ({reason}); remove it to start over"
            ) from error

    def write_log(self, rows: Sequence[LogRow]) -> None:
        """Write one line per epoch; what cannot be said of some epochs, such as the F1 of metals that none has, is left empty."""
        names = list(dict.fromkeys(name for row in rows for name in row))
        with replaced(self.path / LOG) as stream:
            writer = csv.DictWriter(stream, fieldnames=names)
            writer.writeheader()
            writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)

    def temporary(self) -> Path:
        """Where a new ``last.ckpt`` is written until `commit`: another name each time."""
        return temporary_beside(self.last)

    def commit(self, temporary: Path) -> None:
        """Let a new ``last.ckpt`` take the place of the old."""
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, self.last)
