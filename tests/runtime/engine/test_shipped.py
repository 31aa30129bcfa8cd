"""The engines that come with bandrt, by name."""

from pathlib import Path

import pytest

import bandrt
from bandrt.cli.options import ENGINE
from bandrt.engine import DEFAULT_ENGINE, SHIPPED_ENGINES, read_manifest, shipped_path

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
