"""The engines that come with bandrt, by name."""

from pathlib import Path

import pytest

import bandrt
from bandrt.cli import run
from bandrt.cli.options import ENGINE
from bandrt.engine import DEFAULT_ENGINE, SHIPPED_ENGINES, read_manifest, shipped_path
from bandrt.run.infer import InferOptions

MOST_BYTES = 20e6


def test_they_are_there_and_small() -> None:
    assert set(SHIPPED_ENGINES) == {"fast", "accurate"}
    assert sum(path.stat().st_size for path in SHIPPED_ENGINES.values()) < MOST_BYTES
    assert read_manifest(SHIPPED_ENGINES["fast"]).variant == "bloch"
    assert read_manifest(SHIPPED_ENGINES["accurate"]).variant == "hamiltonian"


@pytest.mark.parametrize("name", ["fast", "accurate", "shipped"])
def test_a_name_is_an_engine_in_the_library_and_on_the_command_line(name: str) -> None:
    expected = DEFAULT_ENGINE if name == "shipped" else SHIPPED_ENGINES[name]
    assert shipped_path(name) == ENGINE.convert(name, None, None) == expected
    with bandrt.load(name, threads=1) as engine:
        assert engine.path == expected


def test_nothing_else_is_one() -> None:
    assert shipped_path("faster") is shipped_path(Path("fast")) is shipped_path(None) is None


def test_what_is_here_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fast").write_bytes(b"no engine")
    assert shipped_path("fast") is None
    assert ENGINE.convert("fast", None, None) == Path("fast")
    with pytest.raises(bandrt.EngineError, match="format"):
        bandrt.load("fast")


def test_a_folder_of_results_does_not_take_the_name_of_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fast").mkdir()
    assert shipped_path("fast") == ENGINE.convert("fast", None, None) == SHIPPED_ENGINES["fast"]
    assert shipped_path("fast", {"fast": Path("fast.pt")}) == Path("fast.pt")  # of checkpoints, too


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("acurate", "acurate: there is no such model file; did you mean accurate? Engines that come with bandrt: fast, accurate"),
        ("shiped", "did you mean shipped?"),
        ("quantum", "no such model file; Engines that come with bandrt: fast, accurate"),
    ],
)
def test_a_name_that_is_none_tells_those_that_are(
    given: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(bandrt.EngineError) as caught:
        bandrt.load(given)
    assert caught.value.code == "engine-not-found"
    assert said in caught.value.message
    Path("salt.cif").touch()
    for arguments in (["inspect", given], ["infer", "salt.cif", "-o", "out", "--engine", given, "--dry-run"]):
        assert run(arguments) == 1
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["fast", "null", "shipped"])
def test_a_path_is_told_that_a_name_is_a_text(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(bandrt.EngineError) as caught:
        bandrt.load(Path(name))
    assert f"is named by a text, '{name}', and this is a path" in caught.value.message
    assert "did you mean" not in caught.value.message


def test_options_of_a_run_take_a_name() -> None:
    assert InferOptions(engine="fast").engine == SHIPPED_ENGINES["fast"]  # type: ignore[arg-type]


def test_a_file_that_is_not_there_is_no_name(tmp_path: Path) -> None:
    for path in (Path("acurate.onnx"), tmp_path / "acurate", tmp_path):
        with pytest.raises(bandrt.EngineError) as caught:
            bandrt.load(path)
        assert "did you mean" not in caught.value.message
