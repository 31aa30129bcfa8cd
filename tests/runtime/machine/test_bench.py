"""What the benchmark measures, with a clock that only moves when something runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bandrt.cli import run
from bandrt.engine.onnx.session import OnnxSession
from bandrt.errors import BandrtError, InputError
from bandrt.features import Features
from bandrt.loading import load
from bandrt.machine.bench import (
    MAX_RUNS,
    MIN_RUNS,
    STAGES,
    WARM_UP,
    Contender,
    Latency,
    Yardstick,
    cases,
    contender,
    featurize_sources,
    interleave,
    latencies,
    stage_split,
)
from bandrt.predict import Engine
from bandrt.recipe import GraphRecipe, KpathRecipe, Recipe
from bandrt.sources import Source, find, textbook
from bandrt.symmetry.standard_cell import standardize

RECIPE = Recipe(graph=GraphRecipe(n_neighbors=12), kpath=KpathRecipe(n_kpoints=64))


class Clock:
    """Seconds that pass only when `spend` says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> Callable[[], None]:
        def work() -> None:
            self.now += seconds

        return work


@pytest.fixture(scope="module")
def small_sources(examples: Path) -> list[Source]:
    return list(find([examples / f"{name}.cif" for name in ("NiAl_mp-1487", "GaAs_mp-8883", "In_mp-85", "SiO2_mp-546794")]))


def test_percentiles_are_those_of_the_runs() -> None:
    found = Latency.of([ms / 1000 for ms in range(1, 102)], n_crystals=4)
    assert (found.p50_ms, found.p90_ms, found.p99_ms, found.runs) == (51.0, 91.0, 100.0, 101)
    assert found.crystals_per_second == pytest.approx(4 / 0.051, abs=0.01)


def test_contenders_take_turns_and_the_warm_up_is_not_counted() -> None:
    clock, order = Clock(), ""

    def side(name: str, seconds: float) -> Callable[[], None]:
        def work() -> None:
            nonlocal order
            order += name
            clock.spend(seconds)()

        return work

    fast, slow = interleave([side("a", 0.1), side("b", 0.3)], seconds=0.0, clock=clock)
    assert order == "a" * WARM_UP + "b" * WARM_UP + "abbaabbaab"
    assert fast == pytest.approx([0.1] * MIN_RUNS)
    assert slow == pytest.approx([0.3] * MIN_RUNS)


def test_runs_go_on_for_as_long_as_asked_but_not_for_ever() -> None:
    clock = Clock()
    assert len(interleave([clock.spend(0.1)], seconds=0.95, clock=clock)[0]) == 10
    assert len(interleave([clock.spend(1e-6)], seconds=10.0, clock=clock)[0]) == MAX_RUNS


def test_each_bucket_of_atoms_fills_each_batch_with_its_own_crystals() -> None:
    made = cases([1, 5, 8, 2, 33], [1, 3])
    assert [(case.bucket, case.crystals) for case in made] == [
        ((1, 1), (0,)),
        ((1, 1), (0, 0, 0)),
        ((2, 2), (3,)),
        ((2, 2), (3, 3, 3)),
        ((5, 8), (1,)),
        ((5, 8), (1, 2, 1)),
        ((33, 64), (4,)),
        ((33, 64), (4, 4, 4)),
    ]


def test_ratios_are_to_the_last_contender_and_fractions_to_the_matrix_rate(small_sources: list[Source]) -> None:
    clock = Clock()
    other = Recipe(graph=GraphRecipe(n_neighbors=32), kpath=KpathRecipe(n_kpoints=32))

    def prepare(seconds: float, slots: int) -> Callable[[Sequence[Features]], Callable[[], object]]:
        def make(features: Sequence[Features]) -> Callable[[], object]:
            assert {one.neighbor_index.shape[1] for one in features} == {slots}
            return clock.spend(seconds * len(features))

        return make

    contenders = [Contender("fast", prepare(0.01, 12), RECIPE), Contender("slow", prepare(0.03, 32), other)]
    crystals = featurize_sources(small_sources, [RECIPE, other], max_atoms=None)
    yardstick = Yardstick(1e9, lambda features: 10**6 * len(features), other)
    rows = latencies(contenders, crystals, [2], seconds=0.0, yardstick=yardstick, clock=clock)
    assert [(row.contender, row.ratio, row.matrix_rate_fraction) for row in rows[:2]] == [
        ("fast", 3.0, 0.1),
        ("slow", None, pytest.approx(1 / 30, abs=1e-4)),
    ]
    assert {(row.min_atoms, row.max_atoms) for row in rows} == {(1, 1), (2, 2), (4, 4), (6, 6)}
    assert rows[0].latency.p50_ms == 20.0
    assert rows[0].latency.crystals_per_second == 100.0


def test_what_one_contender_can_not_take_is_left_out_for_all(small_sources: list[Source]) -> None:
    bad = Source("bad", "bad.cif", "cif", InputError("empty-file", "bad.cif: empty"))
    crystals = featurize_sources([bad, *small_sources], [RECIPE], max_atoms=5)
    assert [f.code for f in crystals.failures] == ["empty-file", "too-many-atoms"]
    assert len(crystals.sources) == len(crystals.features[RECIPE]) == 3
    with pytest.raises(BandrtError) as caught:
        featurize_sources([bad], [RECIPE], max_atoms=None)
    assert caught.value.code == "no-input"
    assert "bad.cif: empty" in caught.value.message


def test_crystals_with_a_warning_are_timed_like_others(examples: Path) -> None:
    names = ("Bi2Se3_mp-541837.vasp", "AlAs_mp-2172.cif")  # the first is layered
    sources = [source for source in find([examples]) if Path(source.path).name in names]
    crystals = featurize_sources(sources, [RECIPE], max_atoms=None)
    assert [len(one.atomic_numbers) for one in crystals.features[RECIPE]] == [2, 5]
    assert crystals.failures == []


def test_a_run_is_split_into_its_stages(small_sources: list[Source], tiny_engine: Path) -> None:
    clock = Clock()
    with load(tiny_engine, threads=1) as engine:
        batches: list[int] = []

        def slow(inputs: dict[str, Any]) -> dict[str, Any]:
            clock.spend(2.0)()
            batches.append(len(inputs["atomic_numbers"]))
            return engine.session.run(inputs)

        timed = SimpleNamespace(
            session=SimpleNamespace(run=slow), recipe=engine.recipe, manifest=engine.manifest, sha256=engine.sha256
        )
        split = stage_split(timed, "tiny", small_sources, batch=3, clock=clock)  # type: ignore[arg-type]
    assert batches == [3, 1]
    assert split.seconds == {stage: 4.0 if stage == "engine" else 0.0 for stage in STAGES}
    assert split.crystals_per_second == 1.0


def test_crystals_without_bands_are_timed_and_told(
    examples: Path, make_engine: Callable[..., Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As hydrides, of which a Hamiltonian has too few bands: ordinary failures of a run, which end no measurement."""

    def without_bands(session: Any, inputs: Any, run: Callable[..., Any] = OnnxSession.run) -> dict[str, Any]:
        outputs = run(session, inputs)
        few = (np.asarray(inputs["atomic_numbers"]) == 14).any(axis=1)  # silicon
        return outputs | {"band_energies": np.where(few[:, None, None], np.nan, outputs["band_energies"])}

    engine = make_engine(variant="hamiltonian", solver="graph")
    monkeypatch.setattr(OnnxSession, "run", without_bands)
    paths = [str(examples / f"{name}.cif") for name in ("SiO2_mp-546794", "GaAs_mp-8883")]
    assert run(["bench", *paths, "--engine", str(engine), "--batch-size", "2", "--seconds", "0", "--json", "-q"]) == 3
    said = capsys.readouterr()
    [stages] = json.loads(said.out)["stages"]
    assert stages["n_crystals"] == 2
    assert [(one["code"], Path(one["path"]).stem) for one in stages["failures"]] == [("too-few-bands", "SiO2_mp-546794")]
    assert "timed, but has no bands [too-few-bands]" in said.err


def test_an_engine_is_timed_on_a_padded_batch(small_sources: list[Source], tiny_engine: Path) -> None:
    crystals = featurize_sources(small_sources, [RECIPE], max_atoms=None)
    with load(tiny_engine, threads=1) as engine:
        assert isinstance(engine, Engine)
        found = contender(engine, "tiny").prepare(crystals.features[RECIPE])()
    assert isinstance(found, list)
    [outputs] = found  # all together: this engine uses no centres of inversion
    assert outputs["band_energies"].shape == (4, 6, 64)


@pytest.mark.parametrize(
    ("name", "n_atoms", "space_group"),
    [
        ("Cu", 1, 225),
        ("NaCl", 2, 225),
        ("GaAs", 2, 216),
        ("GaN", 4, 186),
        ("SrTiO3", 5, 221),
        ("TiO2", 6, 136),
        ("Al2O3", 10, 167),
        ("MgAl2O4", 14, 227),
        ("In2O3", 40, 206),
    ],
)
def test_textbook_crystals_are_what_the_textbook_says(name: str, n_atoms: int, space_group: int) -> None:
    [source] = [source for source in textbook.sources() if source.id == name]
    cell = standardize(source.read())
    assert (cell.crystal.n_atoms, cell.space_group) == (n_atoms, space_group)
    distance = np.linalg.norm(cell.crystal.frac_coords @ cell.crystal.lattice, axis=1)
    assert np.isfinite(distance).all()


def test_the_command_prints_a_table_and_a_split(tiny_engine: Path, examples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(examples / "GaAs_mp-8883.cif"), "--engine", str(tiny_engine), "--batch-size", "1,2", "--seconds", "0"]
    assert run(["bench", *arguments]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["batch", "atoms", "p50", "ms", "p90", "ms", "p99", "ms", "crystals/s", "ratio"]
    assert [line.split()[1] for line in table[1:3]] == ["1", "2"]
    assert "1 crystals from file to file in batches of up to 2" in table[3]


def test_json_says_what_was_measured_where_and_with_what(
    tiny_engine: Path, mixed_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "other" / tiny_engine.name
    again.parent.mkdir()
    again.write_bytes(tiny_engine.read_bytes())
    engines = ["--engine", str(tiny_engine), "--engine", str(again)]
    options = ["--batch-size", "2", "--seconds", "0", "--threads", "1", "--clock", "processor", "--json"]
    assert run(["bench", str(mixed_folder), *engines, *options]) == 3  # four of its files are no crystals
    report = json.loads(capsys.readouterr().out)
    assert report["crystals"] == 3
    assert len(report["failures"]) == 4
    assert [engine["name"] for engine in report["engines"]] == [str(tiny_engine), str(again)]
    assert {row["contender"] for row in report["latency"]} == {str(tiny_engine), str(again)}
    assert {"p50_ms", "p90_ms", "p99_ms", "crystals_per_second", "runs"} == set(report["latency"][0]["latency"])
    assert [list(split["seconds"]) for split in report["stages"]] == [list(STAGES)] * 2
    assert {"date", "processor", "cores", "gpus", "versions"} <= set(report["machine"])
    assert report["options"] == {"batch": [2], "threads": 1, "seconds": 0.0, "clock": "processor"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--batch-size", "1,x"], 2), (["--batch-size", "0"], 2), (["--compile"], 2), (["--engine", "nowhere.onnx"], 1)],
)
def test_wrong_usage_and_missing_engines_have_their_exit_codes(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", *arguments]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_batch_that_an_engine_does_not_hold_is_refused(make_engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from bandrt.manifest import Profile

    engine = make_engine(profile=Profile(max_batch=4))
    assert run(["bench", "--engine", str(engine), "--batch-size", "1,8"]) == 2
    assert "use --batch-size 4" in capsys.readouterr().err
