"""A folder where a file is wanted is called one."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from bandrt.errors import BandrtError
from bandrt_train.checkpoint import load_checkpoint
from bandrt_train.fit.config import read_config


@pytest.mark.parametrize("read", [load_checkpoint, read_config])
def test_a_folder_is_not_said_to_be_absent_or_damaged(read: object, tmp_path: Path) -> None:
    with pytest.raises(BandrtError, match="is a folder; name the"):
        read(tmp_path)  # type: ignore[operator]
