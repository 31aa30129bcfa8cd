"""No command speaks to a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.network import spoken_to


@pytest.mark.slow
def test_no_command_speaks_to_a_network(tiny_engine: Path, examples: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("plotly")
    pytest.importorskip("pymatgen")
    crystal, out = examples / "AlAs_mp-2172.cif", tmp_path / "out"
    commands = [
        ["infer", crystal, "-o", out, "--engine", tiny_engine, "--workers", "2"],
        ["inspect", tiny_engine],
        ["convert", out, "--to", "pymatgen"],
        ["plot", out, "--all"],
        ["report", out],
        ["doctor"],
    ]
    assert spoken_to(commands, tmp_path / "calls") == []


@pytest.mark.slow
def test_what_speaks_to_a_network_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speak = "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.1', 9))\n"
    monkeypatch.setattr("tests.support.network.RUN", speak)
    assert len(spoken_to([], tmp_path / "calls")) == 1
