"""The log of a run for TensorBoard, beside ``log.csv``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bandrt.errors import MissingPackageError
from bandrt_train.run_folder import Row

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoardLog:
    """Writes a point per epoch for every column of the log. A resumed run is told whole, and takes the place of what was there."""

    def __init__(self, folder: Path) -> None:
        """Prepare to write; the folder is made with the first epoch.

        Raises:
            MissingPackageError: without TensorBoard.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingPackageError("tensorboard", "tensorboard", "--tensorboard") from error
        self.folder = folder
        self._kind = SummaryWriter
        self._writer: SummaryWriter | None = None

    def __call__(self, epoch: int, row: Row) -> None:
        """Write the row of an epoch."""
        if self._writer is None:
            self._writer = self._kind(str(self.folder), purge_step=0)
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, epoch)
        self._writer.flush()
