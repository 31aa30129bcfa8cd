"""The model of gaps alone: what it learns of, how its training goes on, what is reported; with a small model in MatGL's place."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner
from pymatgen.core import Lattice, Structure

from bandrt.crystal import Crystal
from bandrt.elements import SYMBOLS
from bandrt_train.data.dataset import SplitRule
from tests.support.scripts import load_script

if TYPE_CHECKING:
    from torch_geometric.data import Data

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "gap_baseline.py"
METALS = ("Li", "Na", "K", "Rb", "Cs", "Cu", "Ag", "Au", "Tl", "In", "Ga", "Al", "Sc", "Y", "La", "Be", "Mg", "Ca", "Sr", "Ba")
OTHERS = ("F", "Cl", "Br", "I", "O", "S")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(SCRIPT)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rock salts of all splits: halides have a gap, the rest have none."""
    path = tmp_path_factory.mktemp("gaps") / "gaps.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("material_id", "cif", "band_gap_pbe_ev"))
        for pair in ((one, other) for one in METALS for other in OTHERS):
            salt = Structure(fcc(5.0), list(pair), [[0, 0, 0], [0.5, 0.5, 0.5]])
            writer.writerow(("".join(pair), salt.to(fmt="cif"), 4.0 if pair[1] in ("F", "Cl", "Br", "I") else 0.0))
    return path


def fcc(a: float) -> Lattice:
    return Lattice(a / 2 * (np.ones((3, 3)) - np.eye(3)))


def graph_of(crystal: Crystal) -> Data:
    import torch
    from torch_geometric.data import Data

    if 57 in crystal.atomic_numbers:
        raise KeyError("La")
    bonds = torch.tensor([[0, 1], [1, 0]])
    return Data(num_nodes=crystal.n_atoms, node_type=torch.from_numpy(crystal.atomic_numbers.astype(np.int64)), edge_index=bonds)


def small_model() -> Any:
    """The sum of a number per element; it is interrupted when it is asked to count down to 0."""
    import torch

    class Sum(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.each = torch.nn.Embedding(100, 1)
            self.left = -1

        def forward(self, batch: Any, state: torch.Tensor) -> torch.Tensor:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
            return torch.zeros(len(state)).index_add(0, batch.batch, self.each(batch.node_type)[:, 0])

    torch.manual_seed(0)
    return Sum()


def test_it_learns_of_small_crystals_of_the_split_with_elements_that_it_knows(script: ModuleType, table: Path) -> None:
    learned = script.labelled(table, "train", 2, script.known_graph(graph_of))
    wanted = 0
    for one in METALS:
        for other in OTHERS:
            formula = "".join(sorted((one, other)))
            wanted += one != "La" and SplitRule().split(formula) == "train"
    assert len(learned.graphs) == len(learned.gap) == wanted > 40
    assert len(script.labelled(table, "train", 1, script.known_graph(graph_of)).graphs) == 0


def test_crystals_without_bonds_or_of_unknown_elements_are_none_of_the_model(script: ModuleType) -> None:
    def lonely(crystal: Crystal) -> Data:
        graph = graph_of(crystal)
        graph.edge_index = graph.edge_index[:, :0]
        return graph

    salt, unknown = (Crystal(5.0 * np.eye(3), np.array([z, 9], np.int32), np.array([[0.0] * 3, [0.5] * 3])) for z in (11, 57))
    assert script.known_graph(graph_of)(salt) is not None
    assert script.known_graph(graph_of)(unknown) is None
    assert script.known_graph(lonely)(salt) is None


def test_the_rate_is_constant_and_falls_in_the_last_epochs(script: ModuleType) -> None:
    short, long = script.Rate(1e-3, 5, 2), script.Rate(1e-3, 50, 2)
    assert [short.at(epoch) for epoch in (0.0, 1.5, 3.0)] == [long.at(epoch) for epoch in (0.0, 1.5, 3.0)] == [1e-3] * 3
    assert short.at(4.0) == pytest.approx(0.505e-3)
    assert short.at(5.0) == pytest.approx(1e-5)


def test_an_interrupted_training_goes_on_to_the_same_weights(script: ModuleType, table: Path, tmp_path: Path) -> None:
    import torch

    learned, rate = script.labelled(table, "train", 2, script.known_graph(graph_of)), script.Rate(0.1, 4, 2)
    whole, cut = small_model(), small_model()
    script.train(whole, learned, rate, 16, 0, tmp_path / "whole.pt", False)
    cut.left = 2 * -(-len(learned.gap) // 16) + 2  # in the third epoch
    with pytest.raises(KeyboardInterrupt):
        script.train(cut, learned, rate, 16, 0, tmp_path / "cut.pt", False)
    again = small_model()
    cpu_s = script.train(again, learned, rate, 16, 0, tmp_path / "cut.pt", True)
    assert cpu_s > 0.0
    torch.testing.assert_close(again.state_dict(), whole.state_dict(), rtol=0.0, atol=0.0)
    with torch.no_grad():
        error = float((script.output(whole, learned.graphs) - learned.gap).abs().mean())
    assert error < 1.5  # 2.7 eV where nothing is learned


def test_the_tolerance_is_where_most_metals_are_told(script: ModuleType) -> None:
    found, gap = np.array([0.0, 0.1, 0.35, 0.3, 1.0, 3.0]), np.array([0.0, 0.0, 0.0, 0.4, 1.0, 3.0])
    assert script.metal_tolerance(found, gap) == pytest.approx(0.11)
    assert script.metal_tolerance(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0.0


def test_it_reports_what_the_engines_are_reported_by(
    script: ModuleType, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, models = SimpleNamespace(DEFAULT_ELEMENTS=SYMBOLS), SimpleNamespace(MEGNet=lambda **_: small_model())
    for name, module in {"matgl": ModuleType("matgl"), "matgl.config": config, "matgl.models": models}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(script, "converter", lambda elements: graph_of)
    monkeypatch.setattr(script, "version", lambda name: "1.0")
    out = tmp_path / "baseline.json"
    options = ["--epochs", "8", "--learning-rate", "0.1", "--batch-size", "16", "--limit", "6", "--max-atoms", "2"]
    result = CliRunner().invoke(script.main, [str(table), "-o", str(out), *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    report = json.loads(out.read_text(encoding="utf-8"))
    drawn = script.held_out(table, 6, 2)
    found = {one["id"]: one["found_ev"] for one in report["crystals"]}
    assert list(found) == [name for name, _, _ in drawn if not name.startswith("La")]
    assert report["classes"] == script.scores(drawn, [found.get(name) for name, _, _ in drawn])
    assert report["training"]["epochs"] == 8
    assert all(one["found_ev"] == 0.0 or one["found_ev"] >= report["model"]["metal_below_ev"] for one in report["crystals"])
