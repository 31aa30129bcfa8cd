"""The pipeline: nothing lost, nothing twice, whatever the workers, batches, kills and restarts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bandrt.errors import BandrtError, EngineError
from bandrt.loading import load
from bandrt.predict import Engine
from bandrt.results.store import read, read_errors
from bandrt.run import defaults
from bandrt.run.defaults import default_max_atoms, default_workers
from bandrt.run.dry_run import dry_run
from bandrt.run.infer import InferOptions, infer
from bandrt.run.report import RunReport
from tests.support.cubes import Cube, Deadly, Endless, KilledOnce, Noisy, run_all

ROOT = Path(__file__).resolve().parents[3]

ENERGY_TOLERANCE_EV = 1e-5
"""Rounding of single precision; batches may add in another order."""


@pytest.fixture(scope="module")
def engine(tiny_engine: Path) -> Iterator[Engine]:
    with load(tiny_engine, threads=1) as engine:
        yield engine


def expected_ids(n: int) -> list[str]:
    return [Cube(i).id for i in range(n) if i % 7 != 6]


def test_every_input_becomes_a_prediction_or_a_failure(engine: Engine, tmp_path: Path) -> None:
    report = run_all(map(Cube, range(50)), engine, tmp_path)
    assert [p.id for p in read(tmp_path)] == expected_ids(50)
    assert [f.id for f in read_errors(tmp_path)] == [Cube(i).id for i in range(6, 50, 7)]
    assert (report.status, report.found, report.predicted, report.failed) == ("finished", 50, 43, 7)
    assert report.failure_codes == {"no-atoms": 7}
    assert report.seconds["wall"] > 0


def test_predictions_are_those_of_the_engine(engine: Engine, tmp_path: Path) -> None:
    run_all(map(Cube, range(30)), engine, tmp_path)
    for stored in read(tmp_path):
        cube = Cube(int(stored.id.removeprefix("cube-")))
        assert stored.path == cube.path
        [alone] = engine.predict([cube.read()])
        np.testing.assert_allclose(stored.band_structure.energies, alone.band_structure.energies, atol=ENERGY_TOLERANCE_EV)
        np.testing.assert_array_equal(stored.band_structure.frac_kpoints, alone.band_structure.frac_kpoints)


def test_workers_change_nothing(engine: Engine, tmp_path: Path, tiny_engine: Path, rock_salt: Callable[..., str]) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(70):
        text = "not a crystal" if i % 10 == 9 else rock_salt(a=3.9 + 0.01 * i)
        (folder / f"salt-{i:02d}.cif").write_text(text)
    outs = []
    for workers in (0, 2):
        out = tmp_path / f"out-{workers}"
        report = infer([folder], out, InferOptions(engine=tiny_engine, workers=workers, batch_size=8))
        assert (report.predicted, report.failed) == (63, 7)
        outs.append(out)
    for one, other in zip(read(outs[0]), read(outs[1]), strict=True):
        assert one.id == other.id
        np.testing.assert_array_equal(one.band_structure.energies, other.band_structure.energies)
    assert (outs[0] / "summary.csv").read_bytes() == (outs[1] / "summary.csv").read_bytes()
    assert read_errors(outs[0]) == read_errors(outs[1])


def predicted_beside(special: Cube, engine: Engine, out: Path, *, n: int, timeout: float = 20.0) -> None:
    """Run cubes of which one is special in two workers; all others have to be there, in the order of a run without workers."""
    sources = [special if i == special.number else Cube(i) for i in range(n)]
    report = run_all(sources, engine, out / "of-workers", workers=2, timeout=timeout)
    assert report.status == "finished"
    expected = run_all(map(Cube, range(n)), engine, out / "alone")
    assert report.predicted + report.failed == expected.predicted + expected.failed == n


@pytest.mark.parametrize("number", [0, 5, 300])
def test_a_worker_that_dies_costs_the_crystal_it_was_busy_with(number: int, engine: Engine, tmp_path: Path) -> None:
    predicted_beside(Deadly(number), engine, tmp_path, n=400)
    ids = [prediction.id for prediction in read(tmp_path / "of-workers")]
    assert sorted(ids) == [name for name in expected_ids(400) if name != Cube(number).id]
    failures = {failure.id: failure for failure in read_errors(tmp_path / "of-workers")}
    assert (failures[Cube(number).id].code, failures[Cube(number).id].path) == ("crashed", f"cubes:{number}")
    assert failures[Cube(number).id].message.startswith(f"cubes:{number}: the process")


def test_a_crystal_that_never_ends_is_given_up_and_the_run_goes_on(engine: Engine, tmp_path: Path) -> None:
    predicted_beside(Endless(130), engine, tmp_path, n=300, timeout=4.0)
    failures = {failure.id: failure for failure in read_errors(tmp_path / "of-workers")}
    assert failures["cube-0130"].code == "timed-out"
    assert "within 4 s" in failures["cube-0130"].message
    assert sorted(p.id for p in read(tmp_path / "of-workers")) == [name for name in expected_ids(300) if name != "cube-0130"]


def test_a_crystal_whose_worker_was_killed_from_outside_is_tried_again(engine: Engine, tmp_path: Path) -> None:
    predicted_beside(KilledOnce(10, str(tmp_path)), engine, tmp_path, n=200)
    assert (tmp_path / "killed-10").exists()
    names = [[p.id for p in read(tmp_path / folder)] for folder in ("of-workers", "alone")]
    assert names[0] == names[1]
    energies = [[p.band_structure.energies for p in read(tmp_path / folder)] for folder in ("of-workers", "alone")]
    np.testing.assert_array_equal(energies[0], energies[1])


def test_a_run_of_nothing_but_deaths_ends_with_a_failure_for_each(engine: Engine, tmp_path: Path) -> None:
    report = run_all(map(Deadly, range(5)), engine, tmp_path, workers=2)
    assert (report.predicted, report.failure_codes) == (0, {"crashed": 5})


def test_what_native_code_prints_in_a_worker_is_dropped_and_what_python_prints_is_not(
    engine: Engine, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_all([Noisy(0)], engine, tmp_path, workers=1)
    assert capfd.readouterr().err == "a message of ours\n"


def test_a_cell_for_which_there_shall_be_no_memory_is_refused_and_the_limit_named(tiny_engine: Path, tmp_path: Path) -> None:
    cell = "x\n1\n{0} 0 0\n0 4.1 0\n0 0 5.3\nSi O\n{1} 1\nDirect\n"
    for n in (2, 4):
        rows = "".join(f"{i / n:.6f} 0.{i} 0.3\n" for i in range(n))
        (tmp_path / f"{n}.vasp").write_text(cell.format(3.0 * n, n - 1) + rows)
    report = infer(tmp_path, tmp_path / "out", InferOptions(engine=tiny_engine, max_atoms=3, workers=0))
    (failure,) = read_errors(tmp_path / "out")
    assert (report.predicted, failure.id, failure.code) == (1, "4", "too-many-atoms")
    assert "4 atoms in the primitive cell, at most 3 are predicted" in failure.message
    assert "--max-atoms 4 takes it" in failure.message
    assert (default_max_atoms("cpu"), default_max_atoms("cuda:0")) == (600, None)


def test_an_engine_that_fails_stops_the_run_and_keeps_what_was_done(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_run, calls = engine.session.run, []

    def fail_late(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        calls.append(1)
        if len(calls) > 3:
            raise EngineError("engine-failed", "out of memory")
        return session_run(inputs)

    monkeypatch.setattr(engine.session, "run", fail_late)
    with pytest.raises(EngineError):
        run_all(map(Cube, range(50)), engine, tmp_path)
    assert 0 < len(list(read(tmp_path))) <= 12
    monkeypatch.undo()
    run_all(map(Cube, range(50)), engine, tmp_path, mode="resume")
    assert sorted(p.id for p in read(tmp_path)) == expected_ids(50)


def test_an_interrupt_keeps_what_was_predicted_and_a_resume_does_the_rest(engine: Engine, tmp_path: Path) -> None:
    def interrupted() -> Iterator[Cube]:
        for i in range(400):
            if i == 300:
                signal.raise_signal(signal.SIGINT)
            yield Cube(i)

    handler = signal.getsignal(signal.SIGINT)
    report = run_all(interrupted(), engine, tmp_path)
    assert signal.getsignal(signal.SIGINT) is handler
    assert report.status == "interrupted"
    first = [p.id for p in read(tmp_path)]
    assert 0 < len(first) < 300
    report = run_all(map(Cube, range(400)), engine, tmp_path, mode="resume")
    assert report.status == "finished"
    assert report.skipped >= len(first)
    assert sorted(p.id for p in read(tmp_path)) == expected_ids(400)


def test_the_pipeline_runs_outside_the_main_thread(engine: Engine, tmp_path: Path) -> None:
    reports: list[RunReport] = []
    thread = threading.Thread(target=lambda: reports.append(run_all(map(Cube, range(5)), engine, tmp_path)))
    thread.start()
    thread.join()
    assert reports[0].predicted == 5


def test_a_killed_run_is_resumed_without_loss_or_repetition(
    tiny_engine: Path, tmp_path: Path, rock_salt: Callable[..., str]
) -> None:
    table = tmp_path / "table.jsonl"
    with table.open("w") as file:
        for i in range(600):
            file.write(json.dumps({"id": f"salt-{i:03d}", "cif": rock_salt(a=3.9 + 0.001 * i)}) + "\n")
    out = tmp_path / "out"
    code = (
        "import sys; from bandrt.results import writer; from bandrt.cli import run; writer.PART_CRYSTALS = 32;"
        f"sys.exit(run(['infer', {str(table)!r}, '-o', {str(out)!r}, '--engine', {str(tiny_engine)!r}]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(out.glob("parts/part-*.npz")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    survived = [p.id for p in read(out)]
    report = infer([table], out, InferOptions(engine=tiny_engine, mode="resume"))
    assert report.skipped == len(survived) > 0
    assert sorted(p.id for p in read(out)) == [f"salt-{i:03d}" for i in range(600)]
    assert json.loads((out / "run.json").read_text())["counts"]["total_predicted"] == 600


def test_memory_does_not_grow_with_the_number_of_crystals(tiny_engine: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    code = (
        "import resource; from pathlib import Path; from tests.support.cubes import Cube, run_all;"
        "from bandrt.results import writer; from bandrt.loading import load; writer.PART_CRYSTALS = 64;"
        "run_all(map(Cube, range({n})), load({engine!r}, threads=1), Path({out!r}));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for n in (300, 1500):
        script = code.format(n=n, engine=str(tiny_engine), out=str(tmp_path / str(n)))
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert resource.RUSAGE_SELF == 0
    assert peaks[1] - peaks[0] < 5_000  # kB: 1,200 crystals with 64 k-points would be 12,000 with their features


def test_run_json_says_what_was_run(tiny_engine: Path, tmp_path: Path, mixed_folder: Path) -> None:
    report = infer([mixed_folder], tmp_path / "out", InferOptions(engine=tiny_engine))
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["counts"] == {
        "found": 7, "elsewhere": 0, "skipped": 0, "predicted": 3, "failed": 4, "total_predicted": 3, "total_failed": 4,
        "set_aside": 0,
    }  # fmt: skip
    assert len(record["engine"]["sha256"]) == 64
    assert set(record["seconds"]) == {"read", "featurize", "engine", "write", "wall"}
    assert record["recipe"]["kpath"]["n_kpoints"] == 64
    assert record["versions"]["numpy"]
    assert report.expected == 7


def test_results_inside_the_input_folder_are_not_inputs(tiny_engine: Path, mixed_folder: Path) -> None:
    infer([mixed_folder], mixed_folder / "out", InferOptions(engine=tiny_engine))
    report = infer([mixed_folder], mixed_folder / "out", InferOptions(engine=tiny_engine, mode="resume"))
    assert (report.found, report.skipped) == (7, 7)


def test_a_dry_run_writes_nothing(tiny_engine: Path, tmp_path: Path, mixed_folder: Path) -> None:
    said = dry_run([mixed_folder], tmp_path / "out", InferOptions(engine=tiny_engine))
    assert said["inputs"] == 7
    assert not (tmp_path / "out").exists()


def test_no_input_makes_no_folder(tiny_engine: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BandrtError) as caught:
        infer([tmp_path / "empty"], tmp_path / "out", InferOptions(engine=tiny_engine))
    assert caught.value.code == "no-input"
    assert not (tmp_path / "out").exists()


def test_a_gpu_gets_a_worker_per_core_and_a_cpu_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "available_cores", lambda: 16)
    assert (default_workers("cpu"), default_workers("cuda:0")) == (2, 16)
    monkeypatch.setattr(defaults, "available_cores", lambda: 2)
    assert default_workers("cpu") == 1
