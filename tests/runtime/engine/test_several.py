"""Several sessions answer in the order of the batches, with the bytes of one, and none is lost when a session fails."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bandrt.cli.infer import command
from bandrt.engine import NULL_ENGINE, cuda_driver, open_session
from bandrt.engine.cuda_driver import Driver, Gpu, gpu_record
from bandrt.engine.null import NullSession
from bandrt.engine.session import Inputs, OutOfMemoryError, Outputs
from bandrt.engine.several import SeveralSessions, n_devices, parse_devices
from bandrt.errors import EngineError, UsageError
from bandrt.results.store import read_run
from bandrt.run.infer import InferOptions, infer
from tests.support.random_batches import MIXED
from tests.support.simulated_gpu import ORDERS, SimulatedDevice


class Numbers(NullSession):
    """A session that is fed numbers and answers when the next one is there, as one does that copies while it computes."""

    def __init__(self, device: str, *, fails_at: int | None = None, too_large: Iterable[int] = ()) -> None:
        super().__init__(NULL_ENGINE, device="cpu")
        self._name = device
        self._fails_at = fails_at
        self._too_large = set(too_large)
        self.taken: list[int] = []
        self.fails = fails_at is not None
        self.is_closed = False

    @property
    def device(self) -> str:
        return self._name

    def run(self, inputs: Inputs) -> Outputs:
        number = int(inputs["number"][0])
        self.taken.append(number)
        if self.fails and len(self.taken) > (self._fails_at or 0):
            raise EngineError("engine-failed", f"{self._name} fell off the bus")
        if number in self._too_large:
            raise OutOfMemoryError.of_batch(self._name, 1, 1)
        return {"number": inputs["number"]}

    def run_many(self, batches: Iterable[Inputs]) -> Iterator[Outputs | OutOfMemoryError]:
        held: Inputs | None = None
        for inputs in batches:
            if held is not None:
                yield self._one(held)
            held = inputs
        if held is not None:
            yield self._one(held)

    def _one(self, inputs: Inputs) -> Outputs | OutOfMemoryError:
        try:
            return self.run(inputs)
        except OutOfMemoryError as error:
            return error

    def close(self) -> None:
        self.is_closed = True


def numbers(count: int) -> list[Inputs]:
    return [{"number": np.array([number])} for number in range(count)]


def answers(session: SeveralSessions, count: int) -> list[Any]:
    found = list(session.run_many(numbers(count)))
    return [one if isinstance(one, OutOfMemoryError) else int(one["number"][0]) for one in found]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 23])
@pytest.mark.parametrize("n_sessions", [2, 3])
def test_every_batch_is_answered_in_its_place_and_all_sessions_work(n_sessions: int, count: int) -> None:
    sessions = [Numbers(f"cuda:{index}") for index in range(n_sessions)]
    several = SeveralSessions(sessions)
    assert answers(several, count) == list(range(count))
    assert sorted(number for one in sessions for number in one.taken) == list(range(count))
    assert sum(bool(one.taken) for one in sessions) == min(count, n_sessions)
    several.close()
    assert all(one.is_closed for one in sessions)


def test_no_more_batches_are_taken_ahead_than_two_for_each_session() -> None:
    drawn = 0

    def counted() -> Iterator[Inputs]:
        nonlocal drawn
        for batch in numbers(40):
            drawn += 1
            yield batch

    several = SeveralSessions([Numbers("cuda:0"), Numbers("cuda:1")])
    for answered, _ in enumerate(several.run_many(counted())):
        assert drawn - answered <= 4


@pytest.mark.parametrize("fails_at", [0, 1, 3])
def test_when_a_session_fails_others_run_what_it_had_and_no_batch_is_lost(fails_at: int, caplog: pytest.LogCaptureFixture) -> None:
    broken, whole = Numbers("cuda:0", fails_at=fails_at), Numbers("cuda:1")
    several = SeveralSessions([broken, whole])
    assert answers(several, 15) == list(range(15))
    assert len(broken.taken) == fails_at + 1
    assert caplog.messages == ["cuda:0 fell off the bus; cuda:1 goes on without cuda:0"]
    assert answers(several, 3) == [0, 1, 2]
    assert len(broken.taken) == fails_at + 1
    assert several.run(numbers(1)[0]) == {"number": np.array([0])}


def test_when_all_have_failed_the_error_is_raised_after_what_came_before() -> None:
    several = SeveralSessions([Numbers("cuda:0", fails_at=2), Numbers("cuda:1", fails_at=2)])
    found = []

    def collect() -> None:
        for outputs in several.run_many(numbers(20)):
            assert isinstance(outputs, dict)
            found.append(int(outputs["number"][0]))

    with pytest.raises(EngineError, match="fell off the bus") as caught:
        collect()
    assert caught.value.code == "engine-failed"
    assert found == list(range(len(found)))
    assert len(found) >= 2
    with pytest.raises(EngineError):
        several.run(numbers(1)[0])


def test_a_batch_that_does_not_fit_is_said_in_its_place_and_its_session_goes_on() -> None:
    sessions = [Numbers("cuda:0", too_large=[2]), Numbers("cuda:1", too_large=[2])]
    found = answers(SeveralSessions(sessions), 6)
    assert isinstance(found[2], OutOfMemoryError)
    assert [one for one in found if isinstance(one, int)] == [0, 1, 3, 4, 5]
    with pytest.raises(OutOfMemoryError):
        SeveralSessions(sessions).run(numbers(3)[2])


def test_a_stream_that_nobody_reads_to_its_end_ends_its_threads() -> None:
    before = threading.active_count()
    stream = SeveralSessions([Numbers("cuda:0"), Numbers("cuda:1")]).run_many(numbers(9))
    next(stream)
    assert threading.active_count() == before + 2
    stream.close()
    assert threading.active_count() == before


def test_two_sessions_on_the_cpu_give_the_bytes_of_one(tiny_engine: Path) -> None:
    with open_session(tiny_engine, threads=1) as one:
        expected = [outputs["band_energies"] for outputs in one.run_many(MIXED) if isinstance(outputs, dict)]
    with SeveralSessions([open_session(tiny_engine, threads=1) for _ in range(2)]) as both:
        found = [outputs["band_energies"] for outputs in both.run_many(MIXED) if isinstance(outputs, dict)]
    assert len(found) == len(expected) == len(MIXED)
    assert all(one.tobytes() == other.tobytes() for one, other in zip(found, expected, strict=True))


@pytest.fixture
def two_gpus(machine: Any, monkeypatch: pytest.MonkeyPatch) -> list[SimulatedDevice]:
    """The simulated machine with two GPUs; each engine is loaded on the one for which it was opened."""
    gpus = [machine.gpu, SimulatedDevice()]
    driver = Driver("13.0", tuple(Gpu(f"NVIDIA GeForce RTX 409{index}", "sm89", 24.0) for index in range(2)))
    monkeypatch.setattr("bandrt.engine.cuda_driver.find_driver", lambda: driver)

    def device(index: int, extra: str) -> SimulatedDevice:
        machine.trt.device = gpus[index]
        gpus[index].make_current()
        return gpus[index]

    monkeypatch.setattr("bandrt.engine.plan.open.CudaDevice", device)
    return gpus


@pytest.mark.parametrize("order", ORDERS)
def test_two_simulated_gpus_give_the_bytes_of_one(machine: Any, two_gpus: list[SimulatedDevice], order: str) -> None:
    for gpu in two_gpus:
        gpu.order = order
    with open_session(machine.plan, device="cuda:0") as one:
        expected = [outputs["band_energies"] for outputs in one.run_many(MIXED) if isinstance(outputs, dict)]
    with open_session(machine.plan, device="cuda:0,cuda:1") as both:
        assert both.device == "cuda:0,cuda:1"
        found = [outputs["band_energies"] for outputs in both.run_many(MIXED) if isinstance(outputs, dict)]
    assert all(gpu.runs for gpu in two_gpus)
    assert [one.tobytes() for one in found] == [one.tobytes() for one in expected]


def files_of(out: Path) -> dict[str, bytes]:
    """Results of a run by name, but for its record."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "run.json"
    }


@pytest.mark.parametrize("fails_at", [None, 2])
def test_infer_on_two_gpus_writes_the_files_of_one_also_where_one_fails(
    machine: Any, two_gpus: list[SimulatedDevice], mixed_folder: Path, tmp_path: Path, fails_at: int | None
) -> None:
    options = InferOptions(engine=machine.plan, device="cuda:0", workers=0, batch_size=1)
    infer(mixed_folder, tmp_path / "one", options)
    two_gpus[1].fails_at_run = fails_at
    report = infer(mixed_folder, tmp_path / "two", dataclasses.replace(options, device="cuda:0,cuda:1"))
    assert report.predicted > 2
    assert files_of(tmp_path / "two") == files_of(tmp_path / "one")
    record = read_run(tmp_path / "two")
    assert record["options"]["device"] == "cuda:0,cuda:1"
    assert (record["gpu"]["name"], record["gpu"]["others"]) == ("NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 4091")
    assert two_gpus[1].runs


def test_a_run_on_one_gpu_is_gone_on_with_on_two(
    machine: Any, two_gpus: list[SimulatedDevice], mixed_folder: Path, tmp_path: Path
) -> None:
    options = InferOptions(engine=machine.plan, device="cuda:0", workers=0)
    infer(mixed_folder, tmp_path / "out", options)
    again = infer(mixed_folder, tmp_path / "out", dataclasses.replace(options, device="cuda:0,cuda:1", mode="resume"))
    assert again.predicted == 0
    assert again.status == "finished"


@pytest.mark.parametrize(
    ("device", "says"),
    [("cuda:0,cuda:0", "named twice"), ("cuda,cuda:0", "named twice"), ("cuda:0,cpu", "the CPU takes no turns"), ("cuda:0,", "''"),
     ("cuda:0,gpu1", "gpu1")],
)  # fmt: skip
def test_lists_that_name_no_gpus_are_refused(tiny_engine: Path, device: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        open_session(tiny_engine, device=device)
    assert caught.value.code == "unknown-device"


def test_a_gpu_that_there_is_not_is_refused_and_the_others_are_closed(
    machine: Any, two_gpus: list[SimulatedDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EngineError, match="asked to run on cuda:2") as caught:
        open_session(machine.plan, device="cuda:0,cuda:2")
    assert caught.value.code == "device-unavailable"
    assert not two_gpus[0].memory


def test_devices_are_counted_and_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_devices("cuda:0,cuda:3") == ["cuda:0", "cuda:3"]
    assert parse_devices("anything") == ["anything"]
    assert [n_devices(one) for one in ("cpu", "cuda:1", "cuda:0,cuda:1")] == [1, 1, 2]
    driver = Driver("13.0", (Gpu("A", "sm89", 24.0), Gpu("B", "sm89", 24.0), Gpu("C", "sm90", 24.0)), "580.1")
    monkeypatch.setattr(cuda_driver, "find_driver", lambda: driver)
    assert gpu_record("cpu") is None
    one = gpu_record("cuda:2")
    assert one == {"name": "C", "target": "sm90", "memory_gb": 24.0, "mig": None, "driver": "580.1", "cuda": "13.0"}
    assert gpu_record("cuda:2,cuda:0,cuda:1") == one | {"others": "A, B"}


def test_the_command_line_takes_several_gpus(
    machine: Any, two_gpus: list[SimulatedDevice], mixed_folder: Path, tmp_path: Path
) -> None:
    arguments = [str(mixed_folder), "-o", str(tmp_path / "out"), "--engine", str(machine.plan)]
    result = CliRunner().invoke(command, [*arguments, "--device", "cuda:0,cuda:1", "--workers", "0", "--json", "-q"])
    assert json.loads(result.stdout)["counts"]["predicted"] == 3


def test_what_one_of_them_compiles_is_what_all_compile() -> None:
    idle, busy = Numbers("cuda:0"), Numbers("cuda:1")
    several = SeveralSessions([idle, busy])
    assert several.compiling is None
    busy.compiling = "64 crystals of 16 atoms"  # type: ignore[attr-defined]
    assert several.compiling == "64 crystals of 16 atoms"
