"""VASP runs along lines become band documents; any other run is refused, and says why."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path

import numpy as np
import pytest

from bandrt.computed.around_fermi import select_bands
from bandrt.computed.vasprun import VasprunFile, read_vasprun
from bandrt.errors import InputError
from bandrt.recipe import KpathRecipe, Recipe
from bandrt_train.data.builder import build_dataset
from bandrt_train.data.dataset import DatasetRecipe
from bandrt_train.data.sources.folders import find_documents
from tests.support.small_vasprun import DIVISIONS, GAMMA, LATTICE, bands, kpoints_list, line_kpoints, vasprun

RECIPE = DatasetRecipe(Recipe(kpath=KpathRecipe(scheme="setyawan_curtarolo", n_kpoints=64)), min_mapped_fraction=0.3)
WRITTEN = 1e-6
"""eV: how the energies are rounded in the file."""
ENDS = ["G", *[""] * 7, "X", "X", *[""] * 7, "W", "G", *[""] * 7, "L"]
"""Labels of `line_kpoints`."""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "Si" / "bands"
    folder.mkdir(parents=True)
    kpoints = line_kpoints()
    (folder / "vasprun.xml").write_text(vasprun(kpoints, bands(kpoints)[None]), encoding="utf-8")
    return folder / "vasprun.xml"


def test_a_line_mode_run_is_read_without_its_kpoints_file(run: Path) -> None:
    document = read_vasprun(run, "Si")
    np.testing.assert_allclose(document.energies, bands(line_kpoints())[None], atol=WRITTEN)
    np.testing.assert_allclose(document.frac_kpoints, line_kpoints(), atol=1e-8)
    np.testing.assert_allclose(document.reciprocal @ LATTICE.T, 2 * np.pi * np.eye(3), atol=1e-9)
    assert document.branches.tolist() == [[0, 8], [9, 17], [18, 26]]
    assert (document.id, document.efermi, document.n_occupied, document.method) == ("Si", 5.5, 4, "VASP, PBE")
    assert document.crystal is not None
    assert document.crystal.atomic_numbers.tolist() == [14, 14]


def test_a_list_of_kpoints_is_cut_where_its_kpoints_file_labels_two_in_a_row(run: Path) -> None:
    kpoints = line_kpoints()
    run.write_text(vasprun(kpoints, bands(kpoints)[None], divisions=None), encoding="utf-8")
    run.with_name("KPOINTS").write_text(kpoints_list(kpoints, ENDS), encoding="utf-8")
    assert read_vasprun(run, "Si").branches.tolist() == [[0, 8], [9, 17], [18, 26]]


def test_of_a_mesh_and_a_path_without_weight_the_path_is_taken(run: Path) -> None:
    path, mesh = line_kpoints(), np.array([GAMMA, [0.1, 0.2, 0.3], [0.4, 0.4, 0.4]])
    kpoints = np.concatenate([mesh, path])
    text = vasprun(kpoints, bands(kpoints)[None], divisions=None, weights=[1 / 3] * 3 + [0.0] * len(path))
    run.write_text(text, encoding="utf-8")
    run.with_name("KPOINTS").write_text(kpoints_list(kpoints, ["", "", "", *ENDS]), encoding="utf-8")
    document = read_vasprun(run, "Si")
    np.testing.assert_allclose(document.frac_kpoints, path, atol=1e-8)
    np.testing.assert_allclose(document.energies[0], bands(path), atol=WRITTEN)
    assert document.branches.tolist() == [[0, 8], [9, 17], [18, 26]]


@pytest.mark.parametrize("labels", [None, [""] * 27, ["", *ENDS[1:]], ENDS[:-9]])
def test_a_run_that_does_not_say_where_its_lines_are_is_refused(labels: list[str] | None, run: Path) -> None:
    kpoints = line_kpoints()
    run.write_text(vasprun(kpoints, bands(kpoints)[None], divisions=None), encoding="utf-8")
    if labels is not None:
        run.with_name("KPOINTS").write_text(kpoints_list(kpoints[: len(labels)], labels), encoding="utf-8")
    with pytest.raises(InputError, match=r"vasprun\.xml: no line-mode k-points") as caught:
        read_vasprun(run, "Si")
    assert caught.value.code == "not-line-mode"


@pytest.mark.parametrize("parameter", ["LSORBIT", "LNONCOLLINEAR"])
def test_bands_of_spinors_are_refused(parameter: str, run: Path) -> None:
    kpoints = line_kpoints()
    parameters = f'<i type="logical" name="{parameter}"> T  </i>'
    run.write_text(vasprun(kpoints, bands(kpoints)[None], parameters=parameters), encoding="utf-8")
    with pytest.raises(InputError, match="spin") as caught:
        read_vasprun(run, "Si")
    assert caught.value.code == "noncollinear"


def test_spin_channels_are_one_where_they_agree_and_refused_where_they_differ(run: Path) -> None:
    kpoints = line_kpoints()
    energies = bands(kpoints)
    for splitting, code in ((0.0005, None), (0.5, "spin-polarised")):
        text = vasprun(kpoints, np.stack([energies, energies + splitting]))
        run.write_text(text, encoding="utf-8")
        document = read_vasprun(run, "Si")
        assert document.energies.shape == (2, 8, len(kpoints))
        if code is None:
            assert select_bands(document, RECIPE.bands).band_gap == pytest.approx(
                energies[4].min() - energies[3].max(), abs=WRITTEN
            )
        else:
            with pytest.raises(InputError) as caught:
                select_bands(document, RECIPE.bands)
            assert caught.value.code == code


def test_a_fermi_level_that_contradicts_the_number_of_electrons_is_refused(run: Path) -> None:
    kpoints = line_kpoints()
    run.write_text(vasprun(kpoints, bands(kpoints)[None], n_electrons=6.0), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        select_bands(read_vasprun(run, "Si"), RECIPE.bands)
    assert caught.value.code == "fermi-level-conflict"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text[:500],
        lambda text: "",
        lambda text: "<html></html>",
        lambda text: text.replace("</eigenvalues>", "</eigenvalues><!--").replace("<structure name", "--><structure kind"),
        lambda text: text.replace('name="divisions" type="int">9', 'name="divisions" type="int">8'),
        lambda text: text.replace("<r>", "<r>nan ", 1),
    ],
)
def test_an_unfinished_or_damaged_run_is_malformed(damage: object, run: Path) -> None:
    assert callable(damage)
    run.write_text(damage(run.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(InputError, match=r"vasprun\.xml: ") as caught:
        read_vasprun(run, "Si")
    assert caught.value.code == "malformed"


def test_a_truncated_archive_is_malformed(run: Path) -> None:
    archive = run.with_name("vasprun.xml.gz")
    archive.write_bytes(gzip.compress(run.read_bytes())[:-300])
    with pytest.raises(InputError) as caught:
        read_vasprun(archive, "Si")
    assert caught.value.code == "malformed"


def test_a_folder_of_runs_becomes_a_data_set(run: Path, tmp_path: Path) -> None:
    other = run.parents[1] / "again" / "vasprun.xml.gz"
    other.parent.mkdir()
    other.write_bytes(gzip.compress(run.read_bytes()))
    (run.parents[2] / "vasprun_half.xml").write_text(run.read_text(encoding="utf-8")[:5000], encoding="utf-8")
    built = build_dataset([tmp_path / "runs"], tmp_path / "data", RECIPE)
    assert [record["id"] for record in built.records] == ["Si/again", "Si/bands"]
    assert [(r.id, r.code) for r in built.refusals()] == [("vasprun_half", "malformed")]
    entry = built[0]
    gamma = entry.features.kpath.labels.index("Γ")
    energies = bands(GAMMA[None])[1:7, 0]
    middle = 0.5 * (bands(line_kpoints())[3].max() + bands(line_kpoints())[4].min())
    at_gamma = entry.targets.energies[:, entry.features.kpath.label_indices[gamma]]
    np.testing.assert_allclose(at_gamma, energies - middle, atol=1e-5)


def test_a_run_and_the_kpoints_file_beside_it_make_its_stamp(run: Path) -> None:
    [source] = find_documents([run])
    assert source == VasprunFile(str(run), "bands")
    before = source.stamp()
    run.with_name("KPOINTS").write_text("path", encoding="utf-8")
    assert source.stamp() != before
    assert VasprunFile(str(run.with_name("nothing.xml")), "nothing").stamp() == ""


def test_a_real_run_reads_as_pymatgen_reads_it(shared: Path) -> None:
    path = shared / "data" / "mp-bands" / "vasprun_Si_bands.xml.gz"
    document = read_vasprun(path, "Si")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pymatgen.io.vasp.outputs import BSVasprun

        oracle = BSVasprun(str(path)).get_band_structure(efermi="smart")
    np.testing.assert_array_equal(document.energies, list(oracle.bands.values()))
    np.testing.assert_array_equal(document.frac_kpoints, [k.frac_coords for k in oracle.kpoints])
    assert document.efermi == oracle.efermi
    assert len(document.branches) == 10
    assert DIVISIONS != 16
    gap = select_bands(document, RECIPE.bands).band_gap
    assert gap == pytest.approx(oracle.get_band_gap()["energy"], abs=1e-3)
