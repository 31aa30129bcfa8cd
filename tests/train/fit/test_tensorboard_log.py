"""A run can be followed in TensorBoard; without the package, the option says what to install."""

from __future__ import annotations

import struct
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bandrt.errors import MissingPackageError
from bandrt_train.fit.tensorboard_log import TensorBoardLog


def test_every_epoch_becomes_a_point_of_every_column_and_a_resumed_run_takes_the_place_of_the_first(tmp_path: Path) -> None:
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2", reason="tensorboardX is not installed")
    for last in (2, 3):
        with closing(TensorBoardLog(tmp_path / "tensorboard")) as log:
            for epoch in range(1, last + 1):
                log(epoch, {"epoch": float(epoch), "train/loss": 1.0 / epoch})
    events = [
        event_pb2.Event.FromString(record) for file in sorted((tmp_path / "tensorboard").iterdir()) for record in records(file)
    ]
    purged = [i for i, event in enumerate(events) if event.session_log.status == event_pb2.SessionLog.START]
    points = [(event.step, value.tag, value.simple_value) for event in events[purged[-1] :] for value in event.summary.value]
    assert points == [(epoch, "train/loss", pytest.approx(1.0 / epoch)) for epoch in (1, 2, 3)]


def records(path: Path) -> list[bytes]:
    """The records of an event file: length, checksum, content, checksum."""
    content, found = path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        found.append(content[12 : 12 + length])
        content = content[16 + length :]
    return found


def test_without_the_package_its_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(MissingPackageError, match=r"bandrt\[tensorboard\]"):
        TensorBoardLog(tmp_path)
    assert not list(tmp_path.iterdir())
