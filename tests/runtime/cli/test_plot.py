"""``bandrt plot``: pages, DFT bands, zeros, segments, styles and sizes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from bandrt.bands.figures import CREATOR
from bandrt.cli import run
from bandrt.crystal import Crystal
from bandrt.results.prediction import Prediction
from tests.support.computed_silicon import computed, predicted
from tests.support.predicted_crystals import CUBIC, METAL, write_results
from tests.support.predicted_crystals import predicted as made_up

pytest.importorskip("matplotlib")
Captured = pytest.CaptureFixture[str]
SMALL = ["--dpi", "40", "-q"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Silicon, a salt and a metal."""
    silicon = Prediction("si", "somewhere/si.cif", predicted(error=0.25))
    others = [made_up("salt", CUBIC), made_up("metal", METAL, gap=-0.5)]
    return write_results(tmp_path_factory.mktemp("results") / "out", [[silicon], others])


@pytest.fixture(scope="module")
def dft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Silicon on three lines, as pymatgen writes it, and something else."""
    folder, document = tmp_path_factory.mktemp("dft"), computed()
    crystal = document.crystal
    assert isinstance(crystal, Crystal)
    text = {
        "bands": {"1": document.energies[0].tolist()},
        "kpoints": document.frac_kpoints.tolist(),
        "efermi": document.efermi,
        "lattice_rec": {"matrix": document.reciprocal.tolist()},
        "labels_dict": {"\\Gamma": [0, 0, 0], "X": [0.5, 0, 0.5], "W": [0.5, 0.25, 0.75], "L": [0.5, 0.5, 0.5]},
        "branches": [{"start_index": int(a), "end_index": int(b), "name": ""} for a, b in document.branches],
        "structure": {
            "lattice": {"matrix": crystal.lattice.tolist()},
            "sites": [{"species": [{"element": "Si", "occu": 1}], "abc": place} for place in crystal.frac_coords.tolist()],
        },
    }
    with gzip.open(folder / "si.json.gz", "wt", encoding="utf-8") as file:
        json.dump(text, file)
    (folder / "other.json").write_text("{}", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--page", "1x2", "-o", "f/a.png"], ["f/a-1.png", "f/a-2.png"]),
        (["--page", "2x2", "-o", "f/b.png"], ["f/b.png"]),
        (["--page", "1x2", "-o", "f/c.pdf"], ["f/c.pdf"]),
        (["--page", "1X1", "-o", "folder", "--format", "svg"], ["folder/pages-1.svg", "folder/pages-2.svg", "folder/pages-3.svg"]),
    ],
    ids=str,
)
def test_several_crystals_stand_on_a_page(
    arguments: list[str], names: list[str], results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["plot", str(results), "--all", *arguments, *SMALL]) == 0
    assert capsys.readouterr().out.splitlines() == names
    assert sorted(str(path) for path in Path().rglob("*.*") if path.is_file()) == sorted(names)
    for name in names:
        assert CREATOR.encode() in Path(name).read_bytes()
    assert run(["plot", str(results), "--all", *arguments, *SMALL]) == 2
    assert "output-exists" in capsys.readouterr().err


def test_predicted_bands_are_drawn_over_computed_ones(results: Path, dft: Path, tmp_path: Path, capsys: Captured) -> None:
    assert run(["plot", str(results), "si", "salt", "--dft", str(dft), "-o", str(tmp_path / "over"), *SMALL]) == 0
    captured = capsys.readouterr()
    first, second = captured.err.splitlines()
    assert first.startswith("si: mean error 0.25 eV on 3 of ")
    assert "; predicted alone: " in first
    assert second == "salt: no DFT bands; drawn alone"
    assert len(captured.out.splitlines()) == 2
    one = ["plot", str(results), "si", "--dft", str(dft / "si.json.gz"), "-o", str(tmp_path / "one.svg"), "-q"]
    assert run([*one, "--segment", "G-X", "--zero", "vbm"]) == 0
    assert capsys.readouterr().err.startswith("si: mean error 0.0")
    assert "on 1 segment -->" in (tmp_path / "one.svg").read_text(encoding="utf-8")


def test_a_file_of_a_crystal_is_no_results_whether_or_not_crystals_are_named(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "a.cif").touch()
    for more in ([], ["--all"]):
        assert run(["plot", str(tmp_path / "a.cif"), *more]) == 1
        assert "a.cif: is a file, and no output folder of bandrt; a crystal is predicted first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["salt", "metal", "--dft", "DFT"], 1, "[no-reference]"),
        (["salt", "--dft", "DFT/si.json.gz"], 1, "[other-crystal]"),
        (["si", "--dft", "DFT/none"], 1, "[file-not-found]"),
        (["si", "--dft", "DFT", "--segment", "U-W"], 1, "[no-common-path]"),
        (["si", "--dft", "RESULTS"], 2, "holds predictions"),
        (["si", "--segment", "G-R"], 2, "[unknown-label]: si: "),
        (["si", "salt", "--segment", "G-W"], 2, "[unknown-"),
        (["si", "--segment", "G"], 2, "[bad-path]"),
        (["si", "--segment", "G-X", "--full-walk"], 2, "[bad-argument]"),
        (["si", "--style", "fivethirtynine"], 2, "[bad-style]"),
        (["si", "--ymin", "3", "--ymax", "-3"], 2, "[bad-argument]"),
        (["si", "--ymin", "nan"], 2, "--ymin"),
        (["si", "--dpi", "3"], 2, "--dpi"),
        (["si", "--width", "1000"], 2, "--width"),
        (["si", "--zero", "cbm"], 2, "--zero"),
        (["si", "--page", "0x3"], 2, "--page"),
        (["si", "--page", "many"], 2, "--page"),
    ],
    ids=str,
)
def test_what_cannot_be_drawn_is_refused_before_a_figure(
    arguments: list[str], exit_code: int, words: str, results: Path, dft: Path, tmp_path: Path, capsys: Captured
) -> None:
    given = [one.replace("DFT", str(dft)).replace("RESULTS", str(results)) for one in arguments]
    assert run(["plot", str(results), *given, "-o", str(tmp_path / "figures"), "-q"]) == exit_code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "figures").exists() or not list((tmp_path / "figures").iterdir())


def test_a_figure_has_the_style_size_and_energies_that_are_asked_for(results: Path, tmp_path: Path) -> None:
    from matplotlib.image import imread

    out = tmp_path / "a.png"
    look = ["--style", "dark_background", "--width", "4", "--height", "3", "--ymin", "-2", "--ymax", "2", "--zero", "vbm"]
    assert run(["plot", str(results), "salt", "-o", str(out), *look, *SMALL]) == 0
    pixels = imread(out)
    assert pixels.shape[:2] == (120, 160)
    assert pixels[..., :3].mean() < 0.3
