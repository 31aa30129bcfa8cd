"""Runs that predict more bands than six: in the folder, its tables and figures, and what it is converted to."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

import bandrt
from bandrt.cli import run
from bandrt.engine import SHIPPED_ENGINES
from bandrt.errors import BandrtError
from bandrt.results.prediction import Prediction
from bandrt.results.store import read
from bandrt.run.dry_run import dry_run
from bandrt.run.infer import InferOptions, infer

pytest.importorskip("onnxruntime")
ACCURATE = SHIPPED_ENGINES["accurate"]
N_BANDS = 30


@pytest.fixture(scope="module")
def crystals(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A metal with fewer bands below its Fermi level than are asked for, a crystal with enough, and one that is handed over."""
    folder = tmp_path_factory.mktemp("in")
    for name in ("NiAl_mp-1487.cif", "In_mp-85.cif", "SrTiO3_mp-4651.cif"):
        (folder / name).write_bytes((examples / name).read_bytes())
    return folder


@pytest.fixture(scope="module")
def outs(crystals: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Results of six bands, and of more."""
    six, wide = (tmp_path_factory.mktemp("out") / name for name in ("six", "wide"))
    infer(crystals, six, InferOptions(engine=ACCURATE, workers=0))
    infer(crystals, wide, InferOptions(engine=ACCURATE, workers=0, bands=N_BANDS))
    return six, wide


def test_the_summary_is_the_same_whatever_the_number_of_bands(outs: tuple[Path, Path]) -> None:
    six, wide = outs
    assert (six / "summary.csv").read_bytes() == (wide / "summary.csv").read_bytes()
    assert json.loads((wide / "run.json").read_text())["options"]["bands"] == N_BANDS


def test_a_crystal_has_the_bands_that_there_are_and_six_of_them_are_those_of_any_run(outs: tuple[Path, Path]) -> None:
    for small, large in zip(read(outs[0]), read(outs[1]), strict=True):
        bands = large.band_structure
        np.testing.assert_array_equal(bands.energies[bands.rule.window], small.band_structure.energies)
        assert bands.n_bands == bands.rule.n_bands
        assert (bands.vbm, bands.cbm, bands.efermi) == tuple(getattr(small.band_structure, n) for n in ("vbm", "cbm", "efermi"))
    found = {p.id: (p.band_structure.rule.n_valence, p.band_structure.n_bands) for p in read(outs[1])}
    assert found["SrTiO3_mp-4651"] == (N_BANDS // 2, N_BANDS)
    assert found["In_mp-85"][0] < N_BANDS // 2
    assert found["NiAl_mp-1487"] == (3, 6), "what the other engine knows"


def test_the_api_gives_what_a_run_does(crystals: Path, outs: tuple[Path, Path]) -> None:
    with bandrt.load("accurate", bands=N_BANDS) as engine:
        assert engine.manifest.bands.n_bands == N_BANDS
        found = list(engine.predict(sorted(crystals.iterdir())))
    for one, stored in zip(found, read(outs[1]), strict=True):
        assert isinstance(one, Prediction)
        np.testing.assert_allclose(one.band_structure.energies, stored.band_structure.energies, atol=1e-5)


def test_a_run_is_not_gone_on_with_by_another_number_of_bands(crystals: Path, outs: tuple[Path, Path]) -> None:
    before = (outs[0] / "run.json").read_text()
    for record in (before, "{}"):  # the parts themselves say it, too
        (outs[0] / "run.json").write_text(record)
        with pytest.raises(BandrtError, match=r"bands was 6 and is 12") as refused:
            infer(crystals, outs[0], InferOptions(engine=ACCURATE, bands=12, mode="resume", workers=0))
        assert (refused.value.code, refused.value.exit_code) == ("options-differ", 2)
    (outs[0] / "run.json").write_text(before)
    assert infer(crystals, outs[1], InferOptions(engine=ACCURATE, bands=N_BANDS, mode="resume", workers=0)).skipped == 3


def test_other_formats_hold_every_band_with_nan_for_those_that_a_crystal_has_not(outs: tuple[Path, Path], tmp_path: Path) -> None:
    h5py, parquet = pytest.importorskip("h5py"), pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("pymatgen.core")
    for kind, name in (("hdf5", "b.h5"), ("parquet", "b.parquet"), ("pymatgen", "b.jsonl.gz")):
        assert run(["convert", str(outs[1]), "--to", kind, "-o", str(tmp_path / name)]) == 0
    table = parquet.read_table(tmp_path / "b.parquet")
    lines = [json.loads(line) for line in gzip.decompress((tmp_path / "b.jsonl.gz").read_bytes()).splitlines()]
    with h5py.File(tmp_path / "b.h5") as file:
        assert (file.attrs["n_bands"], file.attrs["n_valence"]) == (N_BANDS, N_BANDS // 2)
        for row, (prediction, line) in enumerate(zip(read(outs[1]), lines, strict=True)):
            bands = prediction.band_structure
            first = N_BANDS // 2 - bands.rule.n_valence
            for framed in (file["energies"][row], np.array(table["energies"][row].as_py(), np.float32)):
                np.testing.assert_array_equal(framed[first : first + bands.n_bands], bands.energies)
                assert np.isnan(framed).sum() == (N_BANDS - bands.n_bands) * framed.shape[1]
            [theirs] = line["bands"].values()
            assert len(theirs) == bands.n_bands
            assert (line["is_metal"], line["direct_gap_ev"]) == (bands.is_metal, bands.direct_gap)


def test_a_figure_draws_every_band_the_valence_half_apart(outs: tuple[Path, Path]) -> None:
    pytest.importorskip("matplotlib")
    from bandrt.bands.plot import draw

    for prediction in read(outs[1]):
        bands = prediction.band_structure
        lines = [line for line in draw(bands).axes[0].lines if line.get_linewidth() == 1.4]
        colors = [line.get_color() for line in lines]
        assert len(colors) % bands.n_bands == 0
        assert colors.count(colors[0]) * bands.n_bands == bands.rule.n_valence * len(colors)


def test_an_engine_that_knows_six_bands_refuses_more(crystals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["infer", str(crystals), "-o", str(tmp_path / "out"), "--bands", "4"]) == 2
    assert "4 is not in the range 6<=x<=1000" in capsys.readouterr().err
    assert run(["infer", str(crystals), "-o", str(tmp_path / "out"), "--engine", "fast", "--bands", "12"]) == 1
    assert "[bands-fixed]" in (said := capsys.readouterr().err)
    assert "accurate" in said
    assert not (tmp_path / "out").exists()
    for choice, code in ((12, "bands-fixed"), (7, "bad-argument"), (4, "bad-argument")):
        with pytest.raises(BandrtError) as refused:
            dry_run(crystals, tmp_path / "out", InferOptions(engine=SHIPPED_ENGINES["fast"], bands=choice))
        assert refused.value.code == code
    assert dry_run(crystals, tmp_path / "out", InferOptions(engine=ACCURATE, bands=12))["bands"] == 12
