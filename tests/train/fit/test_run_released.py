"""Training the architecture of the released code: from nothing, or on from one of its checkpoints."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from bandrt.computed.documents import DocumentText
from bandrt.manifest import BandRule, TrainingDomain
from bandrt.recipe import GraphRecipe, KpathRecipe
from bandrt_export.onnx import export_onnx
from bandrt_export.output import describe
from bandrt_export.verify import verify
from bandrt_train.checkpoint import CheckpointError, load_checkpoint, load_checkpoint_for, save_checkpoint
from bandrt_train.cli.group import group
from bandrt_train.data.builder import build_dataset
from bandrt_train.data.dataset import Dataset
from bandrt_train.data.gap_labels import METHOD, gap_targets
from bandrt_train.data.recipes import default_recipe, unmet
from bandrt_train.data.writer import DatasetWriter
from bandrt_train.evaluation.errors import EvaluationError
from bandrt_train.evaluation.predictions import graph_energies, predict_entries
from bandrt_train.fit.config import FitConfig, FitError, GapConfig, TrainerConfig, read_config
from bandrt_train.fit.loader import SplitGraphs
from bandrt_train.fit.run import fit, initial_model
from bandrt_train.fit.split import UNSTATED, training_statistics
from bandrt_train.fit.step import BandFit
from bandrt_train.model.bandformer import build_model
from bandrt_train.model.config import ConfigError
from bandrt_train.model.graphs import to_batch
from bandrt_train.model.released.config import Conventions, ReleasedConfig
from tests.support.small_fits import CONFIG, RECIPE, TINY, assert_same_run
from tests.support.small_models import BLOCH, perturbed, perturbed_released, write_released

N_KPOINTS = 128
"""The number of k-points of every released checkpoint."""
MODEL = ReleasedConfig(d_model=12, encoder_heads=2, encoder_layers=1, decoder_heads=2, decoder_layers=1, dropout=0.2)
RELEASED = dataclasses.replace(CONFIG, model=MODEL, epochs=2)
TOLERANCE_EV = 1e-4
"""fp32 rounding on energies of up to 80 eV, as random weights give."""


@pytest.fixture(scope="module")
def labels(label_texts: list[DocumentText], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some twenty band structures."""
    chosen = [t.text.strip() for t in label_texts if json.loads(t.text)["n_occupied"] >= 3][::12]
    path = tmp_path_factory.mktemp("labels") / "labels.jsonl"
    path.write_text("\n".join(chosen), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def crystals(labels: Path) -> Dataset:
    """As a released model is fed with them."""
    recipe = dataclasses.replace(RECIPE, featurization=default_recipe("released"))
    return build_dataset([labels], labels.parent / "released", recipe)


@pytest.fixture(scope="module")
def authors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in the layout of the released code, of no weight or statistic that a fresh model has."""
    return write_released(tmp_path_factory.mktemp("authors") / "ckpt.pt", perturbed_released(MODEL), prefix="_orig_mod.")


@pytest.fixture(scope="module")
def run(crystals: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    return fit(RELEASED, crystals, tmp_path_factory.mktemp("run") / "out").checkpoint.parent


def test_a_fresh_model_learns(crystals: Dataset, tmp_path: Path) -> None:
    quick = dataclasses.replace(CONFIG.optimizer, learning_rate=1e-2, warmup_epochs=0.0)
    losses: list[float] = []
    config = dataclasses.replace(RELEASED, optimizer=quick, epochs=4)
    fit(config, crystals, tmp_path / "run", progress=lambda epoch, row: losses.append(row["train/loss"]))
    assert losses[-1] < 0.9 * losses[0]


def test_its_recipe_is_that_of_the_released_code() -> None:
    assert default_recipe("released") == Conventions().recipe(ReleasedConfig())
    turned = default_recipe(
        "released",
        KpathRecipe("setyawan_curtarolo", n_kpoints=64, frame="cartesian"),
        Conventions(direction="from_center", species_index="atomic_number_minus_one"),
    )
    assert turned.graph == GraphRecipe(direction="from_center")
    assert turned.kpath == KpathRecipe("setyawan_curtarolo", n_kpoints=64, frame="cartesian")
    assert turned.max_atomic_number == 100


def test_what_the_model_can_not_be_fed_is_named() -> None:
    shifted = default_recipe("released", conventions=Conventions(species_index="atomic_number_minus_one"))
    assert unmet(ReleasedConfig(), default_recipe("released")) is None
    assert unmet(ReleasedConfig(species_index="atomic_number_minus_one"), shifted) is None
    assert "no elements beyond number 99" in str(unmet(ReleasedConfig(), shifted))
    assert "12 nearest neighbours" in str(unmet(ReleasedConfig(), default_recipe("bloch")))


def test_its_fields_are_read_by_name_and_no_others(tmp_path: Path) -> None:
    def read(model: str) -> FitConfig:
        (tmp_path / "config.toml").write_text(f"epochs = 3\n[model]\n{model}", encoding="utf-8")
        return read_config(tmp_path / "config.toml")

    assert read("variant = 'released'\nd_model = 48\ndecoder_heads = 2").model == ReleasedConfig(d_model=48, decoder_heads=2)
    with pytest.raises(FitError, match=r"model\.n_heads"):
        read("variant = 'released'\nn_heads = 2")
    with pytest.raises(FitError, match=r"model\.encoder_heads"):
        read("variant = 'paper'\nencoder_heads = 2")
    with pytest.raises(ConfigError, match=r"model\.variant is 'rleased', allowed: paper, fourier, bloch, released"):
        read("variant = 'rleased'")


def test_training_starts_at_exactly_the_bands_of_the_checkpoint(shared: Path, crystals: Dataset) -> None:
    path = shared / "data" / "released-checkpoint" / "ckpt.pt"
    start = load_checkpoint_for(path, crystals.header.recipe.featurization, "atomic_number")
    statistics = training_statistics(crystals[i].targets for i in crystals.indices("train"))
    config = dataclasses.replace(RELEASED, model=start.config)
    module = BandFit(config, initial_model(start.config, statistics, start), 3)
    graphs = SplitGraphs(crystals, "validation")
    imported = graph_energies(load_checkpoint(path).build_model(), graphs)
    for model in (module.model, module.average.module):
        np.testing.assert_array_equal(graph_energies(model, graphs), imported)


def test_a_checkpoint_of_the_authors_trains_on(authors: Path, crystals: Dataset, tmp_path: Path) -> None:
    parent = load_checkpoint_for(authors, crystals.header.recipe.featurization, "atomic_number")
    still = dataclasses.replace(RELEASED, optimizer=dataclasses.replace(CONFIG.optimizer, learning_rate=0.0), epochs=1)
    child = load_checkpoint(fit(still, crystals, tmp_path / "still", start=parent).checkpoint)
    gathered = {"encoder.norm.running_mean", "encoder.norm.running_var", "encoder.norm.num_batches_tracked"}
    for name, tensor in parent.state.items():
        if name in gathered:
            assert not torch.equal(child.state[name], tensor)
        else:
            torch.testing.assert_close(child.state[name], tensor, rtol=0.0, atol=1e-6)  # the moving average rounds
    assert child.training.parent_sha256 == parent.sha256
    assert child.training.pretraining == (UNSTATED,)
    losses: list[float] = []
    moved = dataclasses.replace(RELEASED, optimizer=dataclasses.replace(CONFIG.optimizer, learning_rate=1e-2))
    fit(moved, crystals, tmp_path / "on", start=child, progress=lambda epoch, row: losses.append(row["train/loss"]))
    assert losses[-1] < 0.9 * losses[0]


def test_averaged_weights_have_averaged_statistics(crystals: Dataset) -> None:
    config = dataclasses.replace(RELEASED, optimizer=dataclasses.replace(CONFIG.optimizer, ema_decay=0.9))
    module = BandFit(config, build_model(MODEL), 3)
    norm, averaged = module.model.encoder.norm, module.average.module.encoder.norm
    seen: list[torch.Tensor] = []
    for entry in (crystals[i] for i in range(12)):
        if entry.features.crystal.n_atoms > 1:
            module.model(to_batch([entry.features]))
            module.on_train_batch_end()
            seen.append(norm.running_mean.clone())
    expected = seen[0]
    for n, current in enumerate(seen[1:], start=1):
        expected = expected.lerp(current, 1.0 - min(0.9, (1.0 + n) / (10.0 + n)))
    torch.testing.assert_close(averaged.running_mean, expected)
    assert not torch.allclose(averaged.running_mean, norm.running_mean, rtol=1e-3)
    assert averaged.num_batches_tracked == norm.num_batches_tracked == len(seen)


def test_a_batch_of_one_atom_is_learned_from_and_leaves_the_statistics(crystals: Dataset) -> None:
    model = perturbed_released(MODEL).train()
    before = model.encoder.norm.running_mean.clone()
    lone = next(entry.features for entry in crystals if entry.features.crystal.n_atoms == 1)
    model(to_batch([lone])).energies.square().mean().backward()
    assert torch.equal(model.encoder.norm.running_mean, before)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    model(to_batch([lone, lone]))
    assert not torch.equal(model.encoder.norm.running_mean, before)


def test_an_interrupted_run_goes_on_to_the_same_end(crystals: Dataset, run: Path, tmp_path: Path) -> None:
    def interrupt(epoch: int, row: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(RELEASED, crystals, tmp_path / "run", progress=interrupt)
    fit(RELEASED, crystals, tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", run)


@pytest.mark.slow
def test_an_engine_made_of_a_run_passes_parity_and_is_verified(run: Path, tmp_path: Path) -> None:
    manifest = export_onnx(run / "checkpoint.pt", tmp_path / "model.onnx")
    trained = load_checkpoint(run / "checkpoint.pt")
    assert (manifest.variant, manifest.recipe, manifest.training) == ("released", trained.recipe, trained.training)
    assert "trained with edges to_center" in describe(manifest, tmp_path / "model.onnx")
    assert manifest.parity is not None
    assert manifest.parity.max_energy_error_ev < TOLERANCE_EV
    verified = verify(tmp_path / "model.onnx", run / "checkpoint.pt")
    assert verified.same_checkpoint
    assert verified.report.max_energy_error_ev < TOLERANCE_EV


def test_it_learns_from_gaps_and_in_mixed_precision(crystals: Dataset, tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path / "gaps", crystals.header.recipe)
    for entry in crystals:
        targets = gap_targets(entry.targets.band_gap + 3.0, MODEL.n_bands, N_KPOINTS)
        writer.add(dataclasses.replace(entry, targets=targets, method=METHOD))
    faster = dataclasses.replace(CONFIG.optimizer, learning_rate=1e-2)
    trainer = TrainerConfig(accelerator="cpu", precision="bf16-mixed")
    rows: list[dict[str, float]] = []
    fit(
        dataclasses.replace(RELEASED, optimizer=faster, gaps=GapConfig(weight=5.0, batch_size=8), trainer=trainer),
        crystals,
        tmp_path / "run",
        gaps=writer.close(),
        progress=lambda epoch, row: rows.append(row),
    )
    assert rows[-1]["train/gap_loss"] < 0.9 * rows[0]["train/gap_loss"]


def refused(code: str, named: str, config: FitConfig, dataset: Dataset, folder: Path, **options: Any) -> None:
    with pytest.raises(FitError, match=named) as caught:
        fit(config, dataset, folder / "run", **options)
    assert caught.value.code == code
    assert not (folder / "run").exists()


def test_models_and_data_of_different_variants_are_told_apart(
    labels: Path, crystals: Dataset, run: Path, data: Dataset, tmp_path: Path
) -> None:
    path = KpathRecipe(n_kpoints=N_KPOINTS)
    shells = build_dataset([labels], tmp_path / "shells", dataclasses.replace(RECIPE, featurization=default_recipe("bloch", path)))
    bloch = dataclasses.replace(CONFIG, model=dataclasses.replace(TINY, variant="bloch", n_kpoints=N_KPOINTS))
    refused("recipe-mismatch", r"12 nearest neighbours .* --variant released", RELEASED, shells, tmp_path)
    refused("recipe-mismatch", r"complete shells .* --variant bloch", bloch, crystals, tmp_path)
    refused("recipe-mismatch", "no elements beyond number 99", RELEASED, data, tmp_path)
    released = load_checkpoint(run / "checkpoint.pt")
    refused("other-model", "variant is 'bloch', but 'released'", bloch, shells, tmp_path, start=released)
    model = perturbed(dataclasses.replace(BLOCH, n_kpoints=N_KPOINTS))
    recipe = shells.header.recipe.featurization
    save_checkpoint(
        tmp_path / "bloch.pt", model=model, config=model.config, recipe=recipe, bands=BandRule(), training=TrainingDomain()
    )
    start = load_checkpoint(tmp_path / "bloch.pt")
    refused("other-model", "variant is 'released', but 'bloch'", RELEASED, crystals, tmp_path, start=start)
    for checkpoint, dataset in ((run / "checkpoint.pt", shells), (tmp_path / "bloch.pt", crystals)):
        with pytest.raises(EvaluationError) as caught:
            predict_entries(checkpoint, dataset, list(dataset))
        assert caught.value.code == "recipe-mismatch"


def test_weights_are_not_trained_on_with_edges_or_k_points_of_another_kind(run: Path, crystals: Dataset, tmp_path: Path) -> None:
    start = load_checkpoint(run / "checkpoint.pt")
    for named, conventions in (("direction='from_center'", {"direction": "from_center"}), ("cartesian", {"frame": "cartesian"})):
        recipe = Conventions(**conventions).recipe(MODEL)
        refused("other-recipe", named, RELEASED, crystals, tmp_path, start=dataclasses.replace(start, recipe=recipe))
    shifted = dataclasses.replace(RELEASED, model=dataclasses.replace(MODEL, species_index="atomic_number_minus_one", d_model=24))
    refused("other-model", r"d_model is 24, but 12; model\.species_index", shifted, crystals, tmp_path, start=start)


def test_what_a_checkpoint_leaves_unsaid_is_taken_from_the_data(authors: Path, run: Path) -> None:
    conventions = Conventions("from_center", "cartesian", "atomic_number_minus_one", "setyawan_curtarolo")
    taken = load_checkpoint_for(authors, conventions.recipe(MODEL), "atomic_number_minus_one")
    assert taken.recipe == conventions.recipe(taken.config)
    assert taken.config.species_index == "atomic_number_minus_one"
    ours = load_checkpoint_for(run / "checkpoint.pt", conventions.recipe(MODEL), "atomic_number_minus_one")
    assert ours.recipe == default_recipe("released")
    with pytest.raises(CheckpointError, match="no such file"):
        load_checkpoint_for(run / "absent.pt", conventions.recipe(MODEL), "atomic_number")


def test_the_command_line_goes_from_a_data_set_of_the_authors_and_their_checkpoint_to_errors(
    labels: Path, authors: Path, crystals: Dataset, tmp_path: Path
) -> None:
    """Edges run from the centre, and species count from zero: nothing is as it would be by default."""
    (tmp_path / "tiny.toml").write_text(
        "epochs = 1\n[model]\nvariant = 'released'\nd_model = 12\nencoder_heads = 2\nencoder_layers = 1\ndecoder_heads = 2\n"
        "decoder_layers = 1\nspecies_index = 'atomic_number_minus_one'\n",
        encoding="utf-8",
    )
    items = []
    for entry in crystals:
        graph = to_batch([entry.features])
        bands = torch.as_tensor(entry.targets.energies).unsqueeze(0)
        arrays = {"x": graph.atomic_numbers - 1, "edge_index": graph.edge_index.flip(0), "edge_len": graph.edge_length}
        items.append(arrays | {"kpoints": graph.kpoints, "bands": bands})
    torch.save(items, tmp_path / "theirs.pt")

    def call(*arguments: object) -> str:
        result = CliRunner().invoke(group, [str(a) for a in arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    unsaid = ("--edges", "from_center", "--species-index", "atomic_number_minus_one", "--validation", 0.3)
    for source, name in ((tmp_path / "theirs.pt", "theirs"), (labels, "ours")):
        folder, trained = tmp_path / name, tmp_path / f"{name}-run"
        call("dataset", source, "-o", folder, "--variant", "released", *unsaid)
        unsaid_of = Conventions.of(Dataset(folder).header.recipe.featurization, "atomic_number_minus_one")
        assert unsaid_of == Conventions("from_center", species_index="atomic_number_minus_one")
        call(
            "fit", tmp_path / "tiny.toml", "--data", folder, "-o", trained, "--from", authors, "--threads", torch.get_num_threads()
        )
        judged = json.loads(call("evaluate", trained / "checkpoint.pt", folder, "--json"))
        stored = json.loads((trained / "validation.json").read_text(encoding="utf-8"))
        found = judged["sets"][0]["models"]["model"]["total"]["energy_mae_ev"]
        assert found == pytest.approx(stored["model"]["total"]["energy_mae_ev"], abs=1e-6)
    other = CliRunner().invoke(group, ["dataset", str(labels), "-o", str(tmp_path / "paper"), "--edges", "from_center"])
    assert other.exit_code == 2
