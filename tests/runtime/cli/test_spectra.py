"""``bandrt bands`` and ``bandrt dos``: what they write, print and refuse."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bandrt
from bandrt.bands.figures import CREATOR
from bandrt.cli import run
from bandrt.spectra.bands import SampledBands, bands_along
from bandrt.spectra.dos import DensityOfStates
from bandrt.spectra.plot import draw_bands
from tests.support.cif_texts import WITHOUT_SYMBOL, cif_cell, cif_sites

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> Path:
    """Results of the fast engine."""
    pytest.importorskip("onnxruntime")
    out = tmp_path_factory.mktemp("results") / "out"
    crystals = [str(examples / name) for name in ("MgO_mp-1265.vasp", "CuAu_mp-522.vasp")]
    assert run(["infer", *crystals, "-o", str(out), "--threads", "1", "-q", "--workers", "1"]) == 0
    return out


@pytest.fixture
def magnesia(examples: Path) -> str:
    pytest.importorskip("onnxruntime")
    return str(examples / "MgO_mp-1265.vasp")


def test_bands_on_a_path_become_a_document_a_table_and_a_figure(magnesia: str, tmp_path: Path, capsys: Captured) -> None:
    pytest.importorskip("matplotlib")
    files = [tmp_path / f"new/bands.{kind}" for kind in ("json", "csv", "png", "svg")]
    for file in files:
        assert run(["bands", magnesia, "--path", "GXW", "-o", str(file), "--threads", "1"]) == 0
        assert capsys.readouterr().out == f"{file}\n"
    document = json.loads(files[0].read_text(encoding="utf-8"))
    with bandrt.load("accurate", threads=1) as engine:
        expected = bands_along(engine.hamiltonian(magnesia), "GXW")
    assert document["bandrt"]["band_gap_ev"] == pytest.approx(expected.of_crystal_ev)
    assert document["bandrt"].keys() == expected.summary().keys()
    rows = list(csv.DictReader(files[1].read_text(encoding="utf-8").splitlines()))
    assert len(rows) == expected.energies.shape[1]
    assert float(rows[-1]["band_0_ev"]) == pytest.approx(expected.energies[0, -1], abs=1e-5)
    files.append(tmp_path / "zone.png")
    assert run(["bands", magnesia, "--path", "GXW", "--zone", "-o", str(files[-1])]) == 0
    for figure in files[2:]:
        assert CREATOR.encode() in figure.read_bytes()


@pytest.mark.parametrize("zero", [(), ("--zero", "vbm")])
def test_the_density_beside_bands_reaches_as_far_as_they_are_shown(
    zero: tuple[str, ...], magnesia: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    drawn: list[tuple[SampledBands, DensityOfStates]] = []

    def draw(bands: list[SampledBands], beside: list[DensityOfStates], **choices: Any) -> Any:
        drawn.append((bands[0], beside[0]))
        return draw_bands(bands, beside, **choices)

    monkeypatch.setattr("bandrt.cli.bands.draw_bands", draw)
    given = [magnesia, "--with-dos", "--window=-50:10", *zero, "-o", str(tmp_path / "a.svg"), "--threads", "1"]
    assert run(["bands", *given]) == 0
    [(bands, dos)] = drawn
    assert bands.vbm is not None
    shift = bands.vbm.energy if zero else 0.0
    assert dos.energies[0] == pytest.approx(-50 + shift, abs=0.02)
    assert dos.energies[-1] == pytest.approx(10 + shift, abs=0.02)
    assert dos.total[dos.energies < -25 + shift].sum() * 0.01 == pytest.approx(6, abs=0.01)  # the 2p shell of magnesium


def test_bands_at_k_points_of_a_file_are_those_of_its_lines(magnesia: str, tmp_path: Path, capsys: Captured) -> None:
    points, out = tmp_path / "k.txt", tmp_path / "b.json"
    points.write_text("0 0 0\n0.5 0.5 0.5\n0.1 0.2 0.3\n", encoding="utf-8")
    assert run(["bands", magnesia, "--kpoints", str(points), "-o", str(out), "--bands", "6", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_kpoints"] == 3
    document = json.loads(out.read_text(encoding="utf-8"))
    assert document["kpoints"][2] == [0.1, 0.2, 0.3]
    assert np.array(document["bands"]["1"]).shape == (6, 3)


def test_edges_are_told_in_the_cell_that_is_asked_for(tmp_path: Path, capsys: Captured) -> None:
    """On a path, too; the cell that is given is the cubic one of MgO."""
    pytest.importorskip("onnxruntime")
    crystal = tmp_path / "cubic.vasp"
    places = "0 0 0\n0 .5 .5\n.5 0 .5\n.5 .5 0\n.5 .5 .5\n.5 0 0\n0 .5 0\n0 0 .5\n"
    crystal.write_text(f"MgO\n4.19\n1 0 0\n0 1 0\n0 0 1\nMg O\n4 4\ndirect\n{places}", encoding="utf-8")
    both = []
    for more in ([], ["--original-cell"]):
        assert run(["bands", str(crystal), "--path", "K-X", "--threads", "1", *more]) == 0
        told = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
        place = told["valence maximum"].partition("(")[2].rstrip(")")
        assert run(["bands", str(crystal), "--path", "K-X", "--threads", "1", "--json", *more]) == 0
        found = json.loads(capsys.readouterr().out)["vbm_kpoint"]
        assert [float(number) for number in place.split(", ")] == pytest.approx(found, abs=1e-4)
        both.append(found)
    assert not np.allclose(*both)


@pytest.mark.parametrize("command", ["bands", "dos", "masses"])
def test_what_nobody_knows_is_null_and_said_in_words(command: str, tmp_path: Path, capsys: Captured) -> None:
    """Atoms of magnesium 14 Å apart: their bands are flat, and how far off they are nothing can be expected."""
    pytest.importorskip("onnxruntime")
    crystal, out = tmp_path / "far.vasp", tmp_path / "far.json"
    crystal.write_text("Mg\n20\n0 .5 .5\n.5 0 .5\n.5 .5 0\nMg\n1\ndirect\n0 0 0\n", encoding="utf-8")
    more = {"bands": ["--path", "GX"], "dos": ["--mesh", "2", "2", "2"], "masses": ["--density", "100"]}[command]
    assert run([command, str(crystal), *more, "--threads", "1", "--json", "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert "warnings: isolated-atom:Mg" in said.err
    assert "how far energies are off is not known: of close or isolated atoms" in said.err
    for text in (said.out, out.read_text(encoding="utf-8")):
        found = json.loads(text, parse_constant=pytest.fail)
        found = found.get("bandrt", found)
        assert found["uncertainty_ev"] is None
        assert all(edge["conductivity_mass"] is None for edge in found.get("edges", ()))


def test_results_have_no_cell_that_a_crystal_came_in(results: Path, magnesia: str, tmp_path: Path, capsys: Captured) -> None:
    points, out = tmp_path / "k.txt", tmp_path / "b.json"
    points.write_text("0.5 0 0\n0 0.5 0\n", encoding="utf-8")
    for more in (["--kpoints", str(points)], ["--path", "GX"], []):
        assert run(["bands", str(results), "MgO_mp-1265", "--original-cell", *more, "-o", str(out)]) == 2
        said = capsys.readouterr().err
        assert said.startswith(
            f"error [no-original-cell]: {results}: results hold the standard primitive cell of MgO_mp-1265 alone; "
        )
        assert magnesia in said
    assert not out.exists()
    assert run(["bands", str(results), "nobody", "--original-cell"]) == 1
    assert run(["bands", str(results), "--original-cell"]) == 2
    assert "error [which-crystal]: " in capsys.readouterr().err


def test_what_is_found_is_told_without_a_file(results: Path, capsys: Captured) -> None:
    assert run(["bands", str(results), "CuAu_mp-522", "--threads", "1"]) == 0
    said = capsys.readouterr()
    assert "verdict: metal" in said.out
    assert "cross the Fermi level: 1" in said.out
    assert "spin-orbit:Au" in said.err
    assert run(["dos", str(results), "MgO_mp-1265", "--mesh", "4", "4", "4"]) == 0
    assert "direct gap: 4." in (said := capsys.readouterr().out)
    assert "bands: 21, with 3 flat levels of inner shells\n" in said
    assert run(["bands", str(results), "MgO_mp-1265", "--path", "GX", "--threads", "1"]) == 0
    assert "bands: 21, 7 of them filled or nearly so, with 3 flat levels of inner shells, at " in capsys.readouterr().out


def test_a_density_of_states_becomes_a_document_a_table_and_a_figure(results: Path, tmp_path: Path, capsys: Captured) -> None:
    pytest.importorskip("matplotlib")
    mesh = ["--mesh", "4", "4", "4", "--window", "-10:10", "--step", "0.1"]
    for kind in ("json", "csv", "png"):
        assert run(["dos", str(results), "CuAu_mp-522", *mesh, "-o", str(tmp_path / f"dos.{kind}"), "--by", "shell"]) == 0
    document = json.loads((tmp_path / "dos.json").read_text(encoding="utf-8"))
    rows = list(csv.DictReader((tmp_path / "dos.csv").read_text(encoding="utf-8").splitlines()))
    shells = ("Cu_s", "Cu_p", "Cu_d", "Au_s", "Au_p", "Au_d")
    assert list(rows[0]) == ["energy_ev", "total_per_ev", *(f"{part}_per_ev" for part in shells), "states_below"]
    assert [float(row["total_per_ev"]) for row in rows] == pytest.approx(document["densities"]["1"], abs=1e-5)
    assert (float(rows[0]["energy_ev"]), float(rows[-1]["energy_ev"])) == (-10.0, 10.0)
    assert document["bandrt"]["crossing_bands"]
    assert (tmp_path / "dos.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert run(["dos", str(results), "CuAu_mp-522", *mesh, "--smearing", "0.2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["efermi_ev"] == document["efermi"]


def test_of_a_stored_crystal_it_is_told_too_how_it_was_read(tmp_path: Path, capsys: Captured) -> None:
    sites = cif_sites("Mg 0 0 0", "O 0.5 0.5 0.5", columns=WITHOUT_SYMBOL)
    (tmp_path / "x.cif").write_text("data_x\n" + cif_cell("2.98", angles=(60, 60, 60)) + sites)
    assert run(["infer", str(tmp_path / "x.cif"), "-o", str(tmp_path / "out"), "--engine", "null", "-q", "--workers", "0"]) == 0
    capsys.readouterr()
    for source in ([str(tmp_path / "x.cif")], [str(tmp_path / "out"), "x"]):
        assert run(["dos", *source, "--mesh", "2", "2", "2", "--json"]) == 0
        assert "symmetry-not-stated" in json.loads(capsys.readouterr().out)["warnings"]


def test_a_table_of_crystals_gives_the_one_that_is_named(tmp_path: Path, rock_salt: object, capsys: Captured) -> None:
    pytest.importorskip("onnxruntime")
    table = tmp_path / "table.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif"])
        writer.writerows([["salt", rock_salt()], ["galena", rock_salt(a=4.2, first="Pb", second="Te")]])  # type: ignore[operator]
    assert run(["dos", str(table), "galena", "--mesh", "2", "2", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["formula"] == "TePb"
    assert run(["dos", str(table), "gallium"]) == 2
    assert "error [which-crystal]" in (said := capsys.readouterr().err)
    assert "salt, galena" in said


def test_a_folder_of_crystals_is_not_called_one_of_results(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "salt.cif").write_text("data_salt")
    assert run(["bands", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error [which-crystal]: {tmp_path}: is a folder, but none of results; name a file in it\n"


@pytest.mark.parametrize("command", ["bands", "dos"])
@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["MgO_mp-1265", "--engine", "fast"], "no-hamiltonian"),
        ([], "which-crystal"),
        (["*"], "which-crystal"),
        (["nobody"], "unknown-id"),
    ],
)
def test_what_cannot_be_done_is_said_with_a_code(command: str, more: list[str], code: str, results: Path, capsys: Captured) -> None:
    assert run([command, str(results), *more]) == (1 if code == "unknown-id" else 2)
    assert capsys.readouterr().err.startswith(f"error [{code}]: ")


@pytest.mark.parametrize(
    "wrong",
    [
        ["bands", "a.cif", "--path", "GX", "--kpoints", "k.txt"],
        ["bands", "a.cif", "--kpoints", "k.txt", "-o", "a.png"],
        ["bands", "a.cif", "--with-dos", "-o", "a.json"],
        ["bands", "a.cif", "--zone", "-o", "a.json"],
        ["bands", "a.cif", "--zone", "--with-dos", "-o", "a.png"],
        ["bands", "a.cif", "--path", "GX", "--original-cell", "-o", "a.png"],
        ["bands", "a.cif", "-o", "a.xlsx"],
        ["bands", "a.cif", "-o", "a.png", "--window", "3"],
        ["dos", "a.cif", "--window", "3:1"],
        ["dos", "a.cif", "--mesh", "4", "4", "0"],
        ["dos", "a.cif", "--by", "atom"],
    ],
)
def test_options_that_do_not_fit_are_wrong_usage(wrong: list[str], capsys: Captured) -> None:
    assert run(wrong) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("command", ["bands", "dos"])
def test_nothing_is_replaced_unasked(command: str, magnesia: str, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "mine.json"
    out.write_text("mine", encoding="utf-8")
    assert run([command, magnesia, "-o", str(out)]) == 2
    assert "output-exists" in capsys.readouterr().err
    assert out.read_text(encoding="utf-8") == "mine"
    more = ["--mesh", "2", "2", "2"] if command == "dos" else ["--path", "GX"]
    assert run([command, magnesia, "-o", str(out), "--overwrite", *more]) == 0
    assert json.loads(out.read_text(encoding="utf-8"))["efermi"] == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bands", "--style", "ggplot"], "--style: of figures"),
        (["dos", "--dpi", "100", "-o", "x.json"], "--dpi: of figures"),
        (["bands", "--zero", "vbm", "-o", "x.csv"], "--zero: of figures"),
        (["bands", "--zone", "--width", "5", "-o", "x.png"], "not for --zone"),
        (["dos", "--style", "ggplt", "-o", "x.png"], "[bad-style]"),
    ],
    ids=str,
)
def test_what_only_figures_have_is_refused_elsewhere_and_before_the_work(
    arguments: list[str], words: str, magnesia: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bandrt.cli.one_crystal.hamiltonian", lambda *_, **__: pytest.fail("it worked"))
    assert run([arguments[0], magnesia, *arguments[1:]]) == 2
    assert words in capsys.readouterr().err
