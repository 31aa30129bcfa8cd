"""The log of a run for TensorBoard, beside ``log.csv``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bandrt.errors import MissingPackageError
from bandrt_train.fit.run_folder import LogRow


class TensorBoardLog:
    """Writes a point per epoch for every column of the log. A resumed run is told whole, and takes the place of what was there."""

    def __init__(self, folder: Path) -> None:
        """Prepare to write; the folder is made with the first epoch.

        Raises:
            MissingPackageError: without tensorboardX.
        """
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise MissingPackageError("tensorboardX", "tensorboard", "--tensorboard") from error
        self.folder = folder
        self._make = SummaryWriter
        self._writer: Any = None

    def __call__(self, epoch: int, row: LogRow) -> None:
        """Write the row of an epoch."""
        if self._writer is None:
            before = len(list(self.folder.iterdir())) if self.folder.exists() else 0
            self._writer = self._make(str(self.folder), purge_step=0, filename_suffix=f".{before:04d}")  # never one file twice
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, epoch)

    def close(self) -> None:
        """Wait until everything is written."""
        if self._writer is not None:
            self._writer.close()
