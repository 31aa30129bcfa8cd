"""What TensorRT-RTX compiles is kept beside a plan, used by the next who opens it on such a GPU, and by nobody else."""

from __future__ import annotations

import json
import logging
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bandrt.engine.plan.compiled
from bandrt.engine import open_session
from bandrt.engine.cuda_driver import Driver, Gpu
from bandrt.engine.plan.compiled import MAGIC, Compiled, Origin, read, write
from bandrt.engine.plan.session import PlanSession
from bandrt.engine.shapes import BatchShape
from tests.support.random_batches import random_batch
from tests.support.simulated_tensorrt import SimulatedCache

ORIGIN = Origin("0" * 64, "tensorrt-rtx", "1.7.1.116", "NVIDIA L4", "sm89")
SHAPES = frozenset({BatchShape(0, 4, 8, 32), BatchShape(1, 64, 16, 32, 10, 64)})
KERNELS = b"kernels\n" + bytes(range(256))


def kept(machine: Any) -> Path:
    return Path(f"{machine.plan}.nvidia-geforce-rtx-4090.compiled")


def run(machine: Any, *sizes: tuple[int, int]) -> list[np.ndarray]:
    with open_session(machine.plan) as session:
        return [session.run(random_batch(*size))["band_energies"] for size in sizes]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "model.plan.nvidia-l4.compiled"
    write(path, ORIGIN, KERNELS, SHAPES)
    return path


def test_what_is_written_is_read(written: Path) -> None:
    assert read(written, ORIGIN) == Compiled(KERNELS, SHAPES)
    assert [one.name for one in written.parent.iterdir()] == [written.name]


def test_that_there_is_none_needs_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read(tmp_path / "none", ORIGIN) is None
    assert not caplog.records


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"plan_sha256": "1" * 64}, "has kernels of another plan"),
        ({"version": "1.8.0.3"}, "has kernels of tensorrt-rtx 1.7.1.116"),
        ({"gpu": "NVIDIA L40"}, "has kernels of NVIDIA L4"),
        ({"gpu": "NVIDIA A10", "target": "sm86"}, "has kernels of NVIDIA L4, sm89"),
    ],
)
def test_kernels_of_anything_else_are_not_used(
    written: Path, caplog: pytest.LogCaptureFixture, change: dict[str, str], said: str
) -> None:
    assert read(written, Origin(**(vars(ORIGIN) | change))) is None
    assert f"{written}: {said}; they are compiled again" in caplog.text


def test_every_damaged_byte_and_every_cut_is_noticed(written: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = written.read_bytes()
    for place in range(len(whole)):
        written.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        assert read(written, ORIGIN) is None, place
        written.write_bytes(whole[:place])
        assert read(written, ORIGIN) is None, place
    assert all(str(written) in message for message in caplog.messages)


def whole(text: bytes) -> bytes:
    """A file whose checksum is right."""
    return MAGIC + sha256(text).hexdigest().encode() + b"\n" + text


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\x00" * 100, MAGIC, MAGIC + b"0" * 64 + b"\n"),
        *(whole(b""), whole(b"[]\n"), whole(b"{}\n"), whole(b"[" * 99999 + b"\n")),
        *(
            whole(json.dumps(vars(ORIGIN) | {"shapes": shapes}).encode() + b"\n")
            for shapes in ([[1, 2, 3, 4, 5, 6, 7]], [["x"]], 3)
        ),
    ],
)
def test_what_is_no_such_file_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes) -> None:
    path = tmp_path / "compiled"
    path.write_bytes(content)
    assert read(path, ORIGIN) is None
    [message] = caplog.messages
    assert "is no file of compiled kernels, or a damaged one" in message


def test_a_folder_in_its_place_is_told_and_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read(tmp_path, ORIGIN) is None
    assert "cannot be read" in caplog.text


def test_a_shape_is_compiled_once_and_for_all(machine: Any, caplog: pytest.LogCaptureFixture) -> None:
    first = run(machine, (4, 5), (2, 3), (4, 5))
    assert machine.trt.compiled == [(4, 5), (2, 3)]
    assert kept(machine).is_file()
    again = run(machine, (4, 5), (2, 3), (1, 9))
    assert machine.trt.compiled == [(4, 5), (2, 3), (1, 10)]
    for one, other in zip(first[:2], again, strict=False):
        np.testing.assert_array_equal(one, other)
    found = read(kept(machine), Origin(*origin_of(machine)))
    assert found is not None
    assert {(shape.crystals, shape.atoms) for shape in found.shapes} == {(4, 5), (2, 3), (1, 10)}
    assert not caplog.records


def origin_of(machine: Any) -> tuple[str, ...]:
    from bandrt.files import file_sha256

    return file_sha256(machine.plan), "tensorrt-rtx", "1.7.1.116", "NVIDIA GeForce RTX 4090", "sm89"


def test_a_run_without_a_new_shape_writes_nothing(machine: Any) -> None:
    run(machine, (4, 5))
    before = kept(machine).stat().st_mtime_ns, kept(machine).stat().st_ino
    run(machine, (4, 5))
    assert (kept(machine).stat().st_mtime_ns, kept(machine).stat().st_ino) == before


def test_a_damaged_file_costs_a_warning_and_is_replaced(machine: Any, caplog: pytest.LogCaptureFixture) -> None:
    [wanted] = run(machine, (4, 5))
    kept(machine).write_bytes(kept(machine).read_bytes()[:-3])
    [found] = run(machine, (4, 5))
    np.testing.assert_array_equal(found, wanted)
    assert "a damaged one: its checksum is wrong; they are compiled again" in caplog.text
    assert machine.trt.compiled == [(4, 5), (4, 5)]
    caplog.clear()
    run(machine, (4, 5))
    assert not caplog.records
    assert len(machine.trt.compiled) == 2


def test_kernels_that_the_library_does_not_take_are_replaced(
    machine: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run(machine, (4, 5))
    monkeypatch.setattr(SimulatedCache, "begins", b"cache of another driver\n")
    run(machine, (4, 5))
    assert "TensorRT-RTX does not take its kernels" in caplog.text
    assert machine.trt.compiled == [(4, 5), (4, 5)]
    caplog.clear()
    run(machine, (4, 5))
    assert not caplog.records
    assert len(machine.trt.compiled) == 2


def test_every_kind_of_gpu_has_a_file_of_its_own(
    machine: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run(machine, (4, 5))
    other = Driver(cuda="13.0", gpus=(Gpu("NVIDIA L4", "sm89", 24.0),))
    monkeypatch.setattr("bandrt.engine.cuda_driver.find_driver", lambda: other)
    run(machine, (4, 5))
    assert len(machine.trt.compiled) == 2
    assert sorted(one.name for one in machine.plan.parent.glob("*.compiled")) == [
        "model.plan.nvidia-geforce-rtx-4090.compiled",
        "model.plan.nvidia-l4.compiled",
    ]
    assert not caplog.records


def test_a_folder_that_cannot_be_written_is_told_once_and_fails_nothing(
    machine: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(bandrt.engine.plan.compiled, "replaced", refuse)
    monkeypatch.setattr(bandrt.engine.plan.compiled, "KEEP_SECONDS", 0.0)
    assert len(run(machine, (4, 5), (2, 3), (1, 9))) == 3
    [message] = caplog.messages
    assert "what was compiled cannot be kept" in message
    assert "the next run compiles it again" in message
    assert not kept(machine).exists()


def test_a_run_writes_as_it_goes_on(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandrt.engine.plan.compiled, "KEEP_SECONDS", 0.0)
    with open_session(machine.plan) as session:
        session.run(random_batch(4, 5))
        size = kept(machine).stat().st_size
        session.run(random_batch(2, 3))
        assert kept(machine).stat().st_size > size


def test_of_two_that_compile_at_once_the_one_with_more_is_kept(machine: Any, caplog: pytest.LogCaptureFixture) -> None:
    with open_session(machine.plan) as few, open_session(machine.plan) as many:
        few.run(random_batch(1, 2))
        for atoms in (3, 4, 5):
            many.run(random_batch(2, atoms))
        many.close()
        assert len(_shapes_kept(machine)) == 3
    assert len(_shapes_kept(machine)) == 3
    run(machine, (1, 2))
    assert len(_shapes_kept(machine)) == 4
    assert not caplog.records


def _shapes_kept(machine: Any) -> frozenset[BatchShape]:
    found = read(kept(machine), Origin(*origin_of(machine)))
    assert found is not None
    return found.shapes


def test_a_session_says_what_it_compiles_while_it_does(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str | None] = []
    with open_session(machine.plan) as session:
        assert isinstance(session, PlanSession)
        monkeypatch.setattr(
            "tests.support.simulated_tensorrt.SimulatedContext._compile", lambda context: said.append(session.compiling)
        )
        session.run(random_batch(4, 5))
        session.run(random_batch(4, 5))
        assert session.compiling is None
    assert said == ["4 crystals of 5 atoms", None]


def test_full_tensorrt_compiles_nothing_and_keeps_nothing(machine: Any) -> None:
    from bandrt.engine.plan.tensorrt import Plan

    plan = Plan(machine.trt, "tensorrt", machine.plan.read_bytes())
    assert not plan.compiles


def test_a_library_that_does_not_give_its_kernels_costs_a_warning(
    machine: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(SimulatedCache, "serialize", lambda self: None)
    run(machine, (4, 5))
    assert "cannot give what it compiled" in caplog.text
    assert not kept(machine).exists()


def test_preparing_a_shape_compiles_and_captures_it(machine: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    shape = BatchShape(1, 4, 5, 12)
    with open_session(machine.plan) as session:
        assert isinstance(session, PlanSession)
        shape = next(iter(_met(session, random_batch(4, 5))))
        assert session.prepare(shape)
        assert not session.prepare(shape)
        assert machine.trt.compiled == [(4, 5)]
        assert machine.gpu.captures == 1
        session.run(random_batch(4, 5))
        assert machine.gpu.captures == 1


def _met(session: PlanSession, batch: Any) -> list[BatchShape]:
    from bandrt.engine.shapes import choose_shape, shape_of

    return [choose_shape(session.manifest, *shape_of(batch))]
