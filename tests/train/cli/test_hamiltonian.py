"""``bandrt train hamiltonian``: from labels to a checkpoint and its scores."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from bandrt.cli import run
from bandrt.crystal import Crystal
from bandrt.manifest import Fold
from bandrt_train.data.hamiltonian.folds import FoldRule
from bandrt_train.hamiltonian_checkpoint import load_hamiltonian
from tests.support.small_hamiltonians import FCC, document_of, document_text, small_model

Captured = pytest.CaptureFixture[str]
CONFIG = """epochs = 1
batch_size = 4
[model]
variant = "hamiltonian"
width = 8
n_layers = 1
n_gaussians = 4
[loss]
n_kpoints = 2
"""
SALTS = [(c, a) for c in (3, 11, 19, 12) for a in (9, 17, 8)]


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rock salts, and one document that cannot be used."""
    teacher, places = small_model(), np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
    crystals = [Crystal(5.2 * FCC, np.array(pair, np.int32), places) for pair in SALTS]
    lines = [document_text(document_of(teacher, one, name=one.formula)) for one in crystals]
    file = tmp_path_factory.mktemp("labels") / "labels.jsonl"
    file.write_text("\n".join([*lines, "{}"]), encoding="utf-8")
    return file


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def fit(config: Path, labels: Path, out: Path, *options: str) -> int:
    return run(["train", "hamiltonian", "fit", str(config), "--labels", str(labels), "-o", str(out), "-q", *options])


def test_folds_are_trained_and_score_every_label(config: Path, labels: Path, tmp_path: Path, capsys: Captured) -> None:
    assert fit(config, labels, tmp_path / "folds", "--folds", "2") == 0
    runs = [tmp_path / "folds" / f"fold-{fold}" for fold in range(2)]
    assert [load_hamiltonian(one / "checkpoint.pt").held_out.fold for one in runs] == [FoldRule(2, 0), FoldRule(2, 1)]
    said = capsys.readouterr()
    assert "left out [malformed]" in said.err
    assert "12 labelled crystals" in said.err
    out = tmp_path / "scores.json"
    assert run(["train", "hamiltonian", "score", *map(str, runs), "--labels", str(labels), "-o", str(out), "-q"]) == 0
    values = json.loads(out.read_text(encoding="utf-8"))
    assert len(values["crystals"]) == values["classes"]["all"]["n_crystals"] == len(SALTS)
    assert [one["code"] for one in values["left_out"]] == ["malformed"]
    table = capsys.readouterr().out
    assert table.startswith("12 crystals of formulas that were held out")
    assert "non-metals" in table


def test_one_fold_can_be_trained_alone_and_resumed(config: Path, labels: Path, tmp_path: Path, capsys: Captured) -> None:
    options = ("--folds", "3", "--fold", "1")
    assert fit(config, labels, tmp_path / "run", *options) == 0
    first = load_hamiltonian(tmp_path / "run" / "checkpoint.pt")
    assert first.held_out.fold == FoldRule(3, 1)
    assert (first.training.splits, first.training.fold) == (None, Fold(3, 1))
    assert fit(config, labels, tmp_path / "run", *options, "--resume") == 0
    assert load_hamiltonian(tmp_path / "run" / "checkpoint.pt").sha256 == first.sha256
    assert fit(config, labels, tmp_path / "run", *options) == 2
    assert "output-exists" in capsys.readouterr().err
    assert fit(config, labels, tmp_path / "run", "--folds", "3", "--fold", "2", "--resume") == 2
    assert "other-run" in capsys.readouterr().err


def test_scores_stand_beside_those_of_the_fast_engine(config: Path, labels: Path, tmp_path: Path, capsys: Captured) -> None:
    config.write_text(CONFIG + "[splits]\nvalidation = 0.4\ntest = 0.4\n", encoding="utf-8")
    assert fit(config, labels, tmp_path / "run", "--seed", "3") == 0
    assert "validation split" in capsys.readouterr().out
    command = [
        "train",
        "hamiltonian",
        "score",
        str(tmp_path / "run"),
        "--labels",
        str(labels),
        "--beside",
        "fast",
        "--json",
        "-q",
    ]
    assert run(command) == 0
    values = json.loads(capsys.readouterr().out)
    own, other = values["beside"]["own"]["all"], values["beside"]["other"]["all"]
    assert 0 < own["n_crystals"] == other["n_crystals"] <= values["classes"]["all"]["n_crystals"]
    assert other["energy_mae_ev"] > 0.0


@pytest.mark.parametrize("options", [("--fold", "0"), ("--folds", "2", "--fold", "2"), ("--overwrite", "--resume")])
def test_options_that_do_not_fit_are_wrong_usage(
    config: Path, labels: Path, tmp_path: Path, options: tuple[str, ...], capsys: Captured
) -> None:
    assert fit(config, labels, tmp_path / "run", *options) == 2
    assert not (tmp_path / "run").exists()


def test_what_is_not_there_is_said(config: Path, labels: Path, tmp_path: Path, capsys: Captured) -> None:
    lost = tmp_path / "lost"
    assert fit(lost, labels, tmp_path / "run") == 1
    assert "file-not-found" in capsys.readouterr().err
    assert fit(config, lost, tmp_path / "run") == 1
    assert "file-not-found" in capsys.readouterr().err
    assert run(["train", "hamiltonian", "score", str(lost), "--labels", str(labels)]) == 1
    assert "checkpoint-not-found" in capsys.readouterr().err


def test_gaps_of_several_tables_are_learned_from(config: Path, labels: Path, tmp_path: Path, capsys: Captured) -> None:
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.2), ["Na", "F"], [[0, 0, 0], [0.5, 0.5, 0.5]]).to(fmt="cif")
    tables = []
    for name, ids in (("one", "ab"), ("two", "bc")):
        tables.append(tmp_path / f"{name}.csv")
        with tables[-1].open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(("material_id", "band_gap_pbe_ev", "weight", "cif"))
            writer.writerows((one, "5.0", "0.5", salt) for one in ids)
    options = [word for table in tables for word in ("--gaps", str(table))]
    assert fit(config, labels, tmp_path / "run", *options) == 0
    assert "12 labelled crystals, 0 of tight binding, 3 gaps" in capsys.readouterr().err
