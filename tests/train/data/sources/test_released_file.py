"""The released code's data set file becomes a data set; what is unsafe, damaged or contradicts the conventions is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from bandrt.errors import InputError
from bandrt.features import Features, featurize
from bandrt.recipe import GraphRecipe, KpathRecipe, Recipe
from bandrt_train.cli.group import group
from bandrt_train.data.builder import build_released_dataset
from bandrt_train.data.dataset import Dataset, DatasetRecipe
from bandrt_train.data.sources.released_file import find_released
from bandrt_train.evaluation.baselines import transferred
from bandrt_train.evaluation.breakdown import crystal_system
from bandrt_train.model.bandformer import build_model
from bandrt_train.model.config import ModelConfig
from bandrt_train.model.graphs import to_batch, to_data
from bandrt_train.model.released.config import Conventions

K = 128
NAMES = ("GaAs_mp-8883.cif", "NiAl_mp-1487.cif", "MgAl2O4_mp-3536.cif")
RECIPE = DatasetRecipe()


def features_of(examples: Path, direction: Any = "to_center") -> list[Features]:
    recipe = Recipe(graph=GraphRecipe(direction=direction), kpath=KpathRecipe(n_kpoints=K))
    return [featurize(examples / name, recipe) for name in NAMES]


def item_of(features: Features, *, shift: float = 0.0) -> dict[str, Any]:
    """The crystal as the released file would hold it; its bands, `shift` eV higher, have a gap from -0.25 to 0.75 eV."""
    data = to_data(features)
    shuffled = torch.randperm(data.edge_index.shape[1], generator=torch.Generator().manual_seed(0))
    wave = 0.1 * (1.0 + torch.cos(torch.linspace(0.0, 6.0, K)))
    bands = torch.stack([-0.25 - level - wave for level in (2, 1, 0)] + [0.75 + level + wave for level in (0, 1, 2)]) + shift
    return {
        "x": data.atomic_numbers,
        "edge_index": data.edge_index[:, shuffled],
        "edge_len": data.edge_length[shuffled],
        "kpoints": data.kpoints,
        "bands": bands.unsqueeze(0),
    }


@pytest.fixture
def items(examples: Path) -> list[dict[str, Any]]:
    first, second, third = features_of(examples)
    return [item_of(first), item_of(second, shift=0.35), item_of(third)]


def build(items: Any, folder: Path, conventions: Conventions = Conventions(), **options: Any) -> Dataset:  # noqa: B008
    torch.save(items, folder / "released.pt")
    return build_released_dataset(folder / "released.pt", folder / "data", RECIPE, conventions, **options)


def test_graphs_and_bands_are_those_of_the_file(items: list[dict[str, Any]], examples: Path, tmp_path: Path) -> None:
    built = build(items, tmp_path)
    assert [record["id"] for record in built.records] == ["released-1", "released-2", "released-3"]
    for entry, mine in zip(built, features_of(examples), strict=True):
        assert entry.formula == mine.crystal.hill_formula
        assert entry.split == RECIPE.splits.split(entry.formula)
        data, own = to_data(entry.features), to_data(mine)
        edges = {
            (*pair, round(length, 5)) for *pair, length in zip(*data.edge_index.tolist(), data.edge_length.tolist(), strict=True)
        }
        assert edges == {
            (*pair, round(length, 5)) for *pair, length in zip(*own.edge_index.tolist(), own.edge_length.tolist(), strict=True)
        }
        assert data.num_edges == own.num_edges
        np.testing.assert_array_equal(entry.features.kpoints, mine.kpoints)
        assert entry.targets.mask.all()
    assert [entry.targets.is_metal for entry in built] == [False, True, False]
    first, metal = built[0].targets, built[1].targets
    assert first.energies[2].max() == pytest.approx(-first.energies[3].min())
    np.testing.assert_allclose(first.energies - first.energies[0, 0], items[0]["bands"][0] - items[0]["bands"][0, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(metal.energies, items[1]["bands"][0].numpy())
    assert np.isnan(built[0].features.crystal.lattice).all()
    assert built.header.recipe.featurization.kpath.n_kpoints == K


def test_a_model_learns_from_it(items: list[dict[str, Any]], tmp_path: Path) -> None:
    entries = list(build(items, tmp_path))
    config = ModelConfig(d_model=24, n_heads=2, encoder_layers=1, decoder_layers=1, n_kpoints=K)
    model = build_model(config)
    loss = model(to_batch([entry.features for entry in entries])).energies.square().mean()
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_its_entries_are_judged_without_crystals(items: list[dict[str, Any]], tmp_path: Path) -> None:
    built = build(items, tmp_path)
    first, second = built[0], built[2]
    guess = transferred(first, second, np.zeros(6))
    np.testing.assert_allclose(guess, np.repeat(second.targets.energies.mean(axis=1, keepdims=True), K, axis=1), rtol=1e-6)
    assert {crystal_system(record["space_group"]) for record in built.records} == {"unknown"}


def test_several_processes_and_a_resumed_build_make_the_same(items: list[dict[str, Any]], tmp_path: Path) -> None:
    built = build(items, tmp_path)
    before = {path.name: path.read_bytes() for path in built.folder.iterdir()}
    (built.folder / "part-00000.npz").unlink()
    build_released_dataset(tmp_path / "released.pt", built.folder, RECIPE, Conventions(), workers=2, resume=True)
    assert {path.name: path.read_bytes() for path in built.folder.iterdir()} == before


def test_edges_the_other_way_round_are_found_out(examples: Path, tmp_path: Path) -> None:
    turned = [item_of(one) for one in features_of(examples, "from_center")]
    assert max(int(np.bincount(item["edge_index"][1]).max()) for item in turned) > 12
    assert [(r.id, r.code) for r in build(turned, tmp_path).refusals()] == [("released-3", "edge-direction")]
    torch.save(turned, tmp_path / "turned.pt")
    built = build_released_dataset(tmp_path / "turned.pt", tmp_path / "turned", RECIPE, Conventions(direction="from_center"))
    assert len(built) == len(turned)
    assert built.header.recipe.featurization.graph.direction == "from_center"


def test_species_rows_that_start_at_zero_are_an_option(items: list[dict[str, Any]], tmp_path: Path) -> None:
    for item in items:
        item["x"] = item["x"] - 1
    built = build(items, tmp_path, Conventions(species_index="atomic_number_minus_one"))
    assert [entry.formula for entry in built] == ["AsGa", "AlNi", "Al2MgO4"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"x": torch.tensor([0, 31])}, "unknown-species"),
        ({"edge_len": torch.ones(3)}, "malformed"),
        ({"edge_len": -torch.ones(24)}, "malformed"),
        ({"edge_index": torch.full((2, 24), 7)}, "malformed"),
        ({"kpoints": torch.zeros(1, 64, 3)}, "malformed"),
        ({"bands": torch.full((1, 6, K), torch.nan)}, "malformed"),
        ({"bands": torch.ones(1, 6, K)}, "too-few-bands"),
        ({"bands": None}, "malformed"),
    ],
)
def test_an_item_that_can_not_be_used_is_refused_and_the_next_one_kept(
    change: dict[str, Any], code: str, items: list[dict[str, Any]], tmp_path: Path
) -> None:
    built = build([items[0], {**items[0], **change}, items[2]], tmp_path)
    assert [record["id"] for record in built.records] == ["released-1", "released-3"]
    assert [(r.id, r.code) for r in built.refusals()] == [("released-2", code)]


class Harmful:
    """Would write a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_file_that_would_run_code_is_refused_without_running_it(items: list[dict[str, Any]], tmp_path: Path) -> None:
    torch.save([{**items[0], "crystal": Harmful(tmp_path / "harm")}], tmp_path / "harmful.pt")
    with pytest.raises(InputError, match="safe loader") as caught:
        next(find_released(tmp_path / "harmful.pt"))
    assert caught.value.code == "unsafe-pickle"
    (tmp_path / "plain.pt").write_bytes(pickle.dumps([Harmful(tmp_path / "harm")]))
    (tmp_path / "cut.pt").write_bytes((tmp_path / "harmful.pt").read_bytes()[:-1000])
    (tmp_path / "text.pt").write_text("bands", encoding="utf-8")
    torch.save({"model": {}}, tmp_path / "mapping.pt")
    for name in ("plain", "cut", "text", "mapping"):
        with pytest.raises(InputError, match=name) as caught:
            next(find_released(tmp_path / f"{name}.pt"))
        assert caught.value.code in ("not-a-released-data-set", "unsafe-pickle")
    assert not (tmp_path / "harm").exists()


def test_the_command_takes_what_the_file_leaves_unsaid_as_options(items: list[dict[str, Any]], tmp_path: Path) -> None:
    torch.save(items, tmp_path / "released.pt")

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(group, ["dataset", *arguments, "-o", str(tmp_path / "data")])

    file = str(tmp_path / "released.pt")
    for wrong in (
        [file, file],
        [file, "--n-kpoints", "64"],
        [file, "--variant", "bloch"],
        [str(tmp_path), "--edges", "to_center"],
        ["--variant", "bloch", "--frame", "cartesian", str(tmp_path)],
    ):
        assert run(*wrong).exit_code == 2
    done = run(file, "--scheme", "setyawan_curtarolo", "--edges", "to_center")
    assert "3 crystals" in done.output, done.output
    assert Dataset(tmp_path / "data").header.recipe.featurization.kpath.scheme == "setyawan_curtarolo"
