"""Training: a tiny model learns, the same seed gives the same weights, and the checkpoint says where it came from."""

from __future__ import annotations

import csv
import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from bandrt.computed.documents import DocumentText
from bandrt.elements import SYMBOLS
from bandrt.errors import ArgumentError, OutputError, OutputInTheWayError
from bandrt.manifest import BandRule, Splits, TrainingDomain
from bandrt.recipe import KpathRecipe, Recipe
from bandrt_train.checkpoint import Checkpoint, load_checkpoint
from bandrt_train.cli.group import group
from bandrt_train.data.builder import build_dataset
from bandrt_train.data.dataset import Dataset, DatasetRecipe, SplitRule
from bandrt_train.data.writer import DatasetWriter
from bandrt_train.evaluation.errors import EvaluationError
from bandrt_train.evaluation.metrics import choose_metal_tolerance, evaluate
from bandrt_train.evaluation.predictions import predict_entries
from bandrt_train.fit.config import FitConfig, FitError, GapConfig, OptimizerConfig, TeacherConfig, read_config
from bandrt_train.fit.loader import SplitGraphs
from bandrt_train.fit.run import FitResult, fit, initial_model
from bandrt_train.fit.run_folder import Identity, RunFolder
from bandrt_train.fit.split import training_statistics
from bandrt_train.model.config import ConfigError, ModelConfig
from bandrt_train.model.graphs import to_batch
from tests.support.small_fits import CONFIG, N_KPOINTS, RECIPE, TINY
from tests.support.small_models import BLOCH, SMALL, bloch_features, perturbed, real_features


@pytest.fixture(scope="module")
def run(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    return fit(CONFIG, data, tmp_path_factory.mktemp("run") / "out")


def test_a_tiny_model_does_better_than_the_training_mean_on_what_it_learned(data: Dataset, tmp_path: Path) -> None:
    longer = dataclasses.replace(CONFIG, epochs=25, patience=25)
    losses: list[float] = []
    fit(longer, data, tmp_path / "run", progress=lambda epoch, row: losses.append(row["train/loss"]))
    assert losses[-1] < 0.8 * losses[0]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(data: Dataset, run: FitResult, tmp_path: Path) -> None:
    again = load_checkpoint(fit(CONFIG, data, tmp_path / "again").checkpoint)
    other = load_checkpoint(fit(dataclasses.replace(CONFIG, seed=1), data, tmp_path / "other").checkpoint)
    first = load_checkpoint(run.checkpoint)
    assert all(torch.equal(first.state[name], again.state[name]) for name in first.state)
    assert not all(torch.equal(first.state[name], other.state[name]) for name in first.state)


def test_the_checkpoint_gives_the_errors_that_were_reported(data: Dataset, run: FitResult) -> None:
    entries = data.split("validation")
    predicted = predict_entries(run.checkpoint, data, entries)
    rule, domain = predicted.model.rule, predicted.model.training
    assert rule == run.rule
    found = evaluate(predicted.energies, [entry.targets for entry in entries], rule)
    assert found.total.energy_mae_ev == pytest.approx(run.validation.total.energy_mae_ev, abs=1e-6)
    assert domain.metrics["validation/energy_mae_ev"] == pytest.approx(run.validation.total.energy_mae_ev, abs=1e-6)


def test_the_checkpoint_knows_what_it_was_trained_on(data: Dataset, run: FitResult) -> None:
    checkpoint = load_checkpoint(run.checkpoint)
    training = data.split("train")
    assert checkpoint.recipe == data.header.recipe.featurization
    assert checkpoint.training.data_sha256 == data.header.fingerprint
    assert checkpoint.training.n_crystals == len(training)
    assert checkpoint.training.max_atoms == max(len(entry.features.atomic_numbers) for entry in training)
    assert "PBE" in checkpoint.training.functional
    assert checkpoint.config == TINY


def test_a_run_leaves_a_log_with_a_row_for_each_epoch_and_the_errors_of_its_best(run: FitResult) -> None:
    folder = run.checkpoint.parent
    with (folder / "log.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["epoch"]) for row in rows] == [float(n + 1) for n in range(len(rows))]
    best = min(float(row["validation/energy_mae_ev"]) for row in rows)
    summary = json.loads((folder / "validation.json").read_text(encoding="utf-8"))
    assert summary["model"]["total"]["energy_mae_ev"] == pytest.approx(best, rel=1e-4)
    assert summary["training mean"]["total"]["energy_mae_ev"] == pytest.approx(run.baseline.total.energy_mae_ev)


def test_fine_tuning_goes_on_from_the_weights_it_is_given_and_says_so(data: Dataset, run: FitResult, tmp_path: Path) -> None:
    parent = load_checkpoint(run.checkpoint)
    still = dataclasses.replace(CONFIG, optimizer=dataclasses.replace(CONFIG.optimizer, learning_rate=0.0), epochs=1)
    child = load_checkpoint(fit(still, data, tmp_path / "still", start=parent).checkpoint)
    for name, tensor in parent.state.items():
        torch.testing.assert_close(child.state[name], tensor, rtol=0.0, atol=1e-6)  # the moving average rounds
    assert child.training.parent_sha256 == parent.sha256
    assert child.training.pretraining == (parent.training.functional,)
    assert (parent.training.parent_sha256, parent.training.pretraining) == ("", ())
    assert parent.training.splits == child.training.splits == Splits(0, 0.25, 0.05)
    grandchild = load_checkpoint(fit(still, data, tmp_path / "again", start=child).checkpoint)
    assert grandchild.training.pretraining == (parent.training.functional, child.training.functional)


def test_elements_that_are_known_by_properties_can_be_given_vectors_of_their_own(data: Dataset, tmp_path: Path) -> None:
    by_properties = dataclasses.replace(CONFIG, epochs=1, model=dataclasses.replace(TINY, node_features="elemental"))
    parent = load_checkpoint(fit(by_properties, data, tmp_path / "parent").checkpoint)
    own = dataclasses.replace(by_properties, model=dataclasses.replace(TINY, node_features="elemental_one_hot"))
    still = dataclasses.replace(own, optimizer=dataclasses.replace(CONFIG.optimizer, learning_rate=0.0))
    child = load_checkpoint(fit(still, data, tmp_path / "still", start=parent).checkpoint)
    vectors = child.state.pop("node_features.embedding.weight")
    assert not vectors.any()
    for name, tensor in parent.state.items():
        torch.testing.assert_close(child.state[name], tensor, rtol=0.0, atol=1e-6)
    learned = load_checkpoint(fit(own, data, tmp_path / "own", start=parent).checkpoint)
    assert learned.state["node_features.embedding.weight"].any()
    with pytest.raises(FitError, match=r"node_features is 'elemental', but 'elemental_one_hot'"):
        fit(by_properties, data, tmp_path / "back", start=learned)


@pytest.mark.parametrize(
    "config", [SMALL, dataclasses.replace(SMALL, variant="fourier", n_modes=8), BLOCH], ids=lambda one: str(one.variant)
)
def test_layers_that_are_added_say_nothing_at_first_and_can_learn(config: ModelConfig) -> None:
    before, features = perturbed(config), bloch_features() if config.variant == "bloch" else real_features()
    start = Checkpoint(config, Recipe(), BandRule(), TrainingDomain(), {}, before.state_dict(), "0" * 64)
    wanted = dataclasses.replace(config, encoder_layers=config.encoder_layers + 2, decoder_layers=config.decoder_layers + 1)
    more, batch = initial_model(wanted, None, start).eval(), to_batch(features[3:9])
    with torch.no_grad():
        torch.testing.assert_close(more(batch).energies, before(batch).energies, rtol=0.0, atol=1e-5)
    more(batch).energies.square().sum().backward()
    added = {name: one for name, one in more.named_parameters() if name not in start.state}
    assert len({name.split("layers.")[0] + name.split("layers.")[1][0] for name in added}) == 3
    silent = [one for name, one in added.items() if name.endswith("weight") and not one.any()]
    assert len(silent) == 2 * 2 + 3
    assert all(one.grad is not None and one.grad.any() for one in silent)


def test_more_layers_may_be_asked_for_and_not_fewer(data: Dataset, run: FitResult, tmp_path: Path) -> None:
    parent = load_checkpoint(run.checkpoint)
    deeper = dataclasses.replace(CONFIG, epochs=1, model=dataclasses.replace(TINY, encoder_layers=2, decoder_layers=2))
    still = dataclasses.replace(deeper, optimizer=dataclasses.replace(CONFIG.optimizer, learning_rate=0.0))
    result = fit(still, data, tmp_path / "still", start=parent)
    assert result.validation.total.energy_mae_ev == pytest.approx(run.validation.total.energy_mae_ev, abs=1e-4)
    child = load_checkpoint(result.checkpoint)
    with pytest.raises(FitError, match=r"encoder_layers is 1, but 2; model\.decoder_layers is 1, but 2") as caught:
        fit(CONFIG, data, tmp_path / "back", start=child)
    assert caught.value.code == "other-model"


def test_weights_learned_on_another_number_of_k_points_can_be_fine_tuned(
    run: FitResult, label_texts: list[DocumentText], tmp_path: Path
) -> None:
    chosen = [t.text.strip() for t in label_texts if json.loads(t.text)["n_occupied"] >= 3][::24]
    (tmp_path / "labels.jsonl").write_text("\n".join(chosen), encoding="utf-8")
    recipe = dataclasses.replace(RECIPE, featurization=Recipe(kpath=KpathRecipe(n_kpoints=48)))
    finer = build_dataset([tmp_path / "labels.jsonl"], tmp_path / "data", recipe)
    config = dataclasses.replace(CONFIG, model=dataclasses.replace(TINY, n_kpoints=48, dropout=0.1), epochs=1)
    result = fit(config, finer, tmp_path / "run", start=load_checkpoint(run.checkpoint))
    assert load_checkpoint(result.checkpoint).config.n_kpoints == 48


def test_a_teacher_moves_the_bands_and_is_remembered(data: Dataset, tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path / "teacher", RECIPE)
    for entry in data:
        raised = dataclasses.replace(entry.targets, energies=entry.targets.energies + 2.0, weight=0.5)
        writer.add(dataclasses.replace(entry, targets=raised, method="bandrt"))
    teacher = writer.close()
    faster = dataclasses.replace(CONFIG.optimizer, learning_rate=1e-2)
    config = dataclasses.replace(CONFIG, optimizer=faster, teacher=TeacherConfig(weight=20.0, batch_size=8))
    entries = data.split("validation")
    alone = predict_entries(fit(config, data, tmp_path / "alone").checkpoint, data, entries).energies
    taught = fit(config, data, tmp_path / "taught", teacher=teacher)
    assert predict_entries(taught.checkpoint, data, entries).energies.mean() > alone.mean() + 0.2
    training = load_checkpoint(taught.checkpoint).training
    assert (training.n_taught, training.teacher_sha256) == (teacher.header.counts["train"], teacher.header.fingerprint)
    child = fit(dataclasses.replace(CONFIG, epochs=1), data, tmp_path / "child", start=load_checkpoint(taught.checkpoint))
    assert load_checkpoint(child.checkpoint).training.teacher_sha256 == teacher.header.fingerprint
    with pytest.raises(OutputInTheWayError, match="teacher_sha256"):
        fit(config, data, tmp_path / "taught", resume=True)


def test_fewer_training_crystals_are_among_more_and_make_another_data_set(data: Dataset) -> None:
    everything = data.indices("train")
    few, more = (Dataset(data.folder, n) for n in (4, 9))
    assert set(few.indices("train")) < set(more.indices("train")) < set(everything)
    assert (len(few.indices("train")), few.header.counts["train"]) == (4, 4)
    assert few.indices("validation") == data.indices("validation")
    assert len({one.header.fingerprint for one in (few, more, data)}) == 3
    assert Dataset(data.folder, len(everything)).header.fingerprint == data.header.fingerprint
    again = pickle.loads(pickle.dumps(SplitGraphs(few, "train")))
    assert again.indices == few.indices("train")
    with pytest.raises(ArgumentError, match="n_training"):
        Dataset(data.folder, len(everything) + 1)


@pytest.mark.slow
def test_gaps_move_the_predicted_band_edges(data: Dataset, gaps: Dataset, tmp_path: Path) -> None:
    faster = dataclasses.replace(CONFIG.optimizer, learning_rate=1e-2)
    config = dataclasses.replace(CONFIG, optimizer=faster, epochs=10, patience=10, gaps=GapConfig(weight=20.0, batch_size=8))
    without = predicted_gap(fit(config, data, tmp_path / "without").checkpoint, data)
    learned = fit(config, data, tmp_path / "with", gaps=gaps)
    assert predicted_gap(learned.checkpoint, data) > without + 0.1
    training = load_checkpoint(learned.checkpoint).training
    assert (training.n_gaps, training.gaps_sha256) == (gaps.header.counts["train"], gaps.header.fingerprint)
    numbers = np.unique(np.concatenate([entry.features.atomic_numbers for entry in gaps.split("train")]))
    assert training.gap_elements == tuple(SYMBOLS[z] for z in numbers)
    assert training.gap_max_atoms == max(entry.features.crystal.n_atoms for entry in gaps.split("train"))
    child = fit(dataclasses.replace(CONFIG, epochs=1), data, tmp_path / "child", start=load_checkpoint(learned.checkpoint))
    inherited = load_checkpoint(child.checkpoint).training
    assert inherited.gaps_sha256 == gaps.header.fingerprint
    assert (inherited.gap_elements, inherited.gap_max_atoms) == (training.gap_elements, training.gap_max_atoms)
    with (learned.checkpoint.parent / "log.csv").open(encoding="utf-8") as stream:
        losses = [float(row["train/gap_loss"]) for row in csv.DictReader(stream)]
    assert losses[-1] < 0.9 * losses[0]


def predicted_gap(checkpoint: Path, data: Dataset) -> float:
    """Mean distance in eV from the top of band 3 to the bottom of band 4, over the training crystals."""
    energies = predict_entries(checkpoint, data, data.split("train")).energies
    return float((energies[:, 3:].min(axis=(1, 2)) - energies[:, :3].max(axis=(1, 2))).mean())


def test_gaps_help_to_choose_the_metal_tolerance(data: Dataset, gaps: Dataset, tmp_path: Path) -> None:
    result = fit(dataclasses.replace(CONFIG, epochs=2), data, tmp_path / "run", gaps=gaps)
    assert load_checkpoint(result.checkpoint).bands == result.rule
    held_out = [*data.split("validation"), *gaps.split("validation")]
    energies = np.concatenate([predict_entries(result.checkpoint, of, of.split("validation")).energies for of in (data, gaps)])
    assert choose_metal_tolerance(energies, [entry.targets for entry in held_out], RECIPE.bands) == result.rule
    judged = evaluate(energies[: len(data.split("validation"))], [entry.targets for entry in data.split("validation")], result.rule)
    assert judged.total.metal_accuracy == result.validation.total.metal_accuracy


def test_the_last_weights_are_kept_where_they_are_wanted(data: Dataset, tmp_path: Path) -> None:
    worse = dataclasses.replace(CONFIG, optimizer=OptimizerConfig(1.0, warmup_epochs=4.0, ema_decay=0.0), epochs=4, patience=4)
    errors: list[float] = []
    last = fit(
        dataclasses.replace(worse, keep="last"),
        data,
        tmp_path / "last",
        progress=lambda epoch, row: errors.append(row["validation/energy_mae_ev"]),
    )
    assert min(errors) < errors[-1], "these weights should get worse"
    assert last.best_epoch == len(errors) == 4
    assert last.validation.total.energy_mae_ev == pytest.approx(errors[-1])
    best = fit(worse, data, tmp_path / "best")
    assert best.validation.total.energy_mae_ev == pytest.approx(errors[best.best_epoch - 1])
    assert best.best_epoch < 4


def test_without_weight_gaps_change_nothing(data: Dataset, gaps: Dataset, run: FitResult, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, gaps=GapConfig(weight=0.0))
    same, plain = load_checkpoint(fit(config, data, tmp_path / "run", gaps=gaps).checkpoint), load_checkpoint(run.checkpoint)
    assert all(torch.equal(plain.state[name], same.state[name]) for name in plain.state)


def test_gaps_of_other_splits_are_refused(data: Dataset, gaps: Dataset, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, splits=SplitRule(seed=1, validation=0.25, test=0.05))
    writer = DatasetWriter(tmp_path / "gaps", recipe)
    for entry in gaps:
        writer.add(entry)
    with pytest.raises(FitError, match="splits") as caught:
        fit(CONFIG, data, tmp_path / "run", gaps=writer.close())
    assert caught.value.code == "other-recipe"
    assert not (tmp_path / "run").exists()


def test_gaps_alone_are_not_enough(gaps: Dataset, tmp_path: Path) -> None:
    with pytest.raises(FitError, match="labels no bands") as caught:
        fit(CONFIG, gaps, tmp_path / "run")
    assert caught.value.code == "no-labels"


def test_a_checkpoint_of_another_model_is_not_fine_tuned(data: Dataset, run: FitResult, tmp_path: Path) -> None:
    wider = dataclasses.replace(CONFIG, model=dataclasses.replace(TINY, d_model=24))
    with pytest.raises(FitError, match=r"d_model is 24, but 12") as caught:
        fit(wider, data, tmp_path / "run", start=load_checkpoint(run.checkpoint))
    assert caught.value.code == "other-model"
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_that_may_have_learned_what_is_held_out_here_is_not_fine_tuned(
    data: Dataset, run: FitResult, tmp_path: Path
) -> None:
    parent, still = load_checkpoint(run.checkpoint), dataclasses.replace(CONFIG, epochs=1)
    dealt = dataclasses.replace(parent, training=dataclasses.replace(parent.training, splits=Splits(1, 0.25, 0.05)))
    with pytest.raises(FitError, match=r"other splits \(seed 1, 0.25 .*\) than .* \(seed 0, 0.25 .*--seed") as caught:
        fit(still, data, tmp_path / "run", start=dealt)
    assert caught.value.code == "other-recipe"
    assert not (tmp_path / "run").exists()
    unsaid = dataclasses.replace(parent, training=dataclasses.replace(parent.training, splits=None))
    assert load_checkpoint(fit(still, data, tmp_path / "run", start=unsaid).checkpoint).training.splits == parent.training.splits


def test_training_stops_when_nothing_gets_better(data: Dataset, tmp_path: Path) -> None:
    still = dataclasses.replace(CONFIG, optimizer=dataclasses.replace(CONFIG.optimizer, learning_rate=0.0), patience=2)
    epochs: list[int] = []
    result = fit(still, data, tmp_path / "run", progress=lambda epoch, row: epochs.append(epoch))
    assert (result.best_epoch, epochs) == (1, [1, 2, 3])


def test_nothing_but_the_result_is_said(data: Dataset, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fit(dataclasses.replace(CONFIG, epochs=1), data, tmp_path / "run")
    assert capfd.readouterr() == ("", "")


def test_statistics_are_those_of_the_labels(data: Dataset) -> None:
    targets = [entry.targets for entry in data.split("train")]
    mean, spread, dispersion = training_statistics(targets)
    centers = np.array([[band[known].mean() for band, known in zip(t.energies, t.mask, strict=True)] for t in targets])
    np.testing.assert_allclose(mean, centers.mean(axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(spread, centers.std(axis=0), rtol=1e-2)
    assert (dispersion > 0).all()


def test_statistics_leave_out_what_is_not_labelled(data: Dataset) -> None:
    targets = data[0].targets
    half = np.broadcast_to(np.arange(N_KPOINTS) < N_KPOINTS // 2, targets.mask.shape) & (np.arange(6)[:, None] < 5)
    mean, spread, dispersion = training_statistics([dataclasses.replace(targets, mask=half)])
    labels = targets.energies[:5, : N_KPOINTS // 2]
    np.testing.assert_allclose(mean, [*labels.mean(axis=1), 0.0], atol=1e-5)
    np.testing.assert_allclose(dispersion, [*labels.std(axis=1) + 1e-3, 0.0], atol=1e-5)
    assert spread.shape == (6,)


def test_a_model_of_another_shape_than_the_data_is_refused(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(FitError, match="n_kpoints = 256") as caught:
        fit(FitConfig(), data, tmp_path / "run")
    assert caught.value.code == "shape-mismatch"
    assert not (tmp_path / "run").exists()


def test_a_bloch_model_is_not_trained_on_neighbours_that_break_its_symmetry(data: Dataset, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, model=dataclasses.replace(TINY, variant="bloch"))
    with pytest.raises(FitError, match=r"complete shells .* bandrt train dataset --variant bloch") as caught:
        fit(config, data, tmp_path / "run")
    assert caught.value.code == "recipe-mismatch"
    assert not (tmp_path / "run").exists()


def test_a_run_folder_with_something_in_it_is_not_written_to(data: Dataset, run: FitResult) -> None:
    with pytest.raises(OutputInTheWayError, match="holds a run") as caught:
        fit(CONFIG, data, run.checkpoint.parent)
    assert caught.value.code == "output-exists"


def test_overwriting_deletes_a_run_and_nothing_else(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run", Identity({}, "", "", ""))
    run.start(CONFIG)
    run.checkpoint.write_bytes(b"")
    (run.path / "tensorboard").mkdir()
    (run.path / "tensorboard" / "events.out.tfevents.0").write_bytes(b"")
    (run.path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=r"notes\.txt") as caught:
        run.check(resume=False, overwrite=True)
    assert caught.value.code == "output-foreign"
    assert run.checkpoint.exists()
    (run.path / "notes.txt").unlink()
    run.check(resume=False, overwrite=True)
    assert list(run.path.iterdir()) == []
    (run.path / "notes.txt").write_text("mine", encoding="utf-8")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="choose another folder") as caught:
            run.check(resume=False, overwrite=overwrite)
        assert caught.value.code == "output-foreign"


def test_a_checkpoint_is_not_judged_on_data_made_by_another_recipe(
    run: FitResult, label_texts: list[DocumentText], tmp_path: Path
) -> None:
    (tmp_path / "labels.jsonl").write_text(label_texts[0].text, encoding="utf-8")
    other = build_dataset([tmp_path / "labels.jsonl"], tmp_path / "other", DatasetRecipe(Recipe(kpath=KpathRecipe(n_kpoints=16))))
    with pytest.raises(EvaluationError) as caught:
        predict_entries(run.checkpoint, other, list(other))
    assert caught.value.code == "recipe-mismatch"


def test_the_shipped_configurations_can_be_read() -> None:
    folder = Path(__file__).resolve().parents[3] / "train" / "configs"
    configs = sorted(path for path in folder.glob("*.toml") if path.stem != "hamiltonian")
    assert configs
    n_kpoints = {path.stem: read_config(path).model.n_kpoints for path in configs}
    coarse = ("tight-binding", "coarse", "taught", "gaps", "longer", "again", "small-cells", "more-crystals", "elements")
    assert n_kpoints == dict.fromkeys(n_kpoints, 256) | dict.fromkeys(coarse, 32) | {"released": 128}


def test_a_run_that_comes_to_nothing_stops_and_says_so(data: Dataset, tmp_path: Path) -> None:
    wild = dataclasses.replace(CONFIG, optimizer=OptimizerConfig(1e6, warmup_epochs=0.0, gradient_clip=1e6, ema_decay=0.0))
    with pytest.raises(FitError, match=r"epoch \d: .* lower optimizer\.learning_rate") as caught:
        fit(wild, data, tmp_path / "run")
    assert caught.value.code == "diverged"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("epoch = 3", "epoch"),
        ("[model]\nwidth = 3", "width"),
        ("epochs = 'many'", "epochs"),
        ("epochs = 0", "epochs"),
        ("[gaps]\nbatch_size = 0", "batch_size"),
        ("[gaps]\nweight = -0.3", "weight"),
        ("[teacher]\nweight = nan", "weight"),
        ("[optimizer]\nlearning_rate = -0.001", "learning_rate"),
        ("[optimizer]\nlearning_rate = inf", "learning_rate"),
        ("[optimizer]\nweight_decay = -1.0", "weight_decay"),
        ("[optimizer]\nwarmup_epochs = nan", "warmup_epochs"),
        ("[optimizer]\ngradient_clip = 0.0", "gradient_clip"),
        ("[optimizer]\ngradient_clip = -1.0", "gradient_clip"),
        ("[optimizer]\nema_decay = nan", "ema_decay"),
        ("[model]\nmax_distance = inf", "max_distance"),
        ("dispersion_weight = -1.0", "dispersion_weight"),
        ("dispersion_weight = nan", "dispersion_weight"),
        ("seed = -1", "seed"),
        ("[trainer]\ngpus = 2", "gpus"),
        ("[trainer]\nprecision = 'fp8'", "bf16-mixed"),
        ("[trainer]\nloader_workers = -1", r"trainer\.loader_workers"),
        ("[trainer]\ndevices = 0", r"trainer\.devices is 0"),
        ("[trainer]\ndevices = -5", r"trainer\.devices is -5"),
        ("[trainer]\nnum_nodes = 0", r"trainer\.num_nodes is 0"),
        ("epochs = ", "TOML"),
    ],
)
def test_a_configuration_with_a_mistake_is_refused_by_name(text: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    with pytest.raises((FitError, ConfigError), match=named) as caught:
        read_config(tmp_path / "config.toml")
    assert caught.value.code == "config-invalid"


def test_the_command_line_learns_from_bands_and_gaps_and_judges_by_gaps(
    label_texts: list[DocumentText], examples: Path, tmp_path: Path
) -> None:
    chosen = [t.text.strip() for t in label_texts if json.loads(t.text)["n_occupied"] >= 3][::24]
    (tmp_path / "labels.jsonl").write_text("\n".join(chosen), encoding="utf-8")
    (tmp_path / "tiny.toml").write_text(
        "epochs = 1\n[model]\nd_model = 12\nn_heads = 2\nencoder_layers = 1\ndecoder_layers = 1\nn_kpoints = 32\n", encoding="utf-8"
    )
    with (tmp_path / "gaps.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("material_id", "band_gap_pbe_ev", "cif"))
        for file in sorted(examples.glob("*.cif"))[:12]:
            writer.writerow((file.stem, "1.0", file.read_text(encoding="utf-8")))

    def call(*arguments: object) -> str:
        result = CliRunner().invoke(group, [str(a) for a in arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    bands, gaps = tmp_path / "bands", tmp_path / "gaps"
    options = ("--n-kpoints", 32, "--validation", 0.3)
    call("dataset", tmp_path / "labels.jsonl", "-o", bands, *options)
    assert "the gap alone is known" in call("dataset", tmp_path / "gaps.csv", "-o", gaps, "--part-size", 5, *options)
    assert len(list(gaps.glob("part-*.npz"))) == 3  # of 12 crystals
    call(
        *("fit", tmp_path / "tiny.toml", "--data", bands, "--gaps", gaps, "-o", tmp_path / "run"),
        *("--seed", 3, "--threads", torch.get_num_threads()),
    )
    assert json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))["seed"] == 3
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    judged = json.loads(call("evaluate", checkpoint, gaps, "--json"))
    models = judged["sets"][0]["models"]
    assert all(errors["total"]["energy_mae_ev"] is None for errors in models.values())
    assert models["model"]["nonmetal"]["gap_mae_ev"] > 0.0
    assert models["nearest neighbour"]["nonmetal"]["gap_mae_ev"] == 0.0  # every gap is 1 eV
    refused = CliRunner().invoke(group, ["dataset", str(tmp_path / "gaps.csv"), str(bands), "-o", str(tmp_path / "both")])
    assert refused.exit_code == 2


@pytest.mark.parametrize("variant", ["paper", "fourier", "bloch"])
def test_the_command_line_goes_from_labels_to_errors(label_texts: list[DocumentText], tmp_path: Path, variant: str) -> None:
    chosen = [t.text.strip() for t in label_texts if json.loads(t.text)["n_occupied"] >= 3][::12]
    (tmp_path / "labels.jsonl").write_text("\n".join(chosen), encoding="utf-8")
    (tmp_path / "tiny.toml").write_text(
        f"epochs = 1\n[model]\nvariant = '{variant}'\nd_model = 12\nn_heads = 2\nencoder_layers = 1\ndecoder_layers = 1\n"
        "n_modes = 12\nn_kpoints = 32\n",
        encoding="utf-8",
    )

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(group, [*arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    size = ("--n-kpoints", "32", "--validation", "0.3")
    built = call("dataset", str(tmp_path / "labels.jsonl"), "-o", str(tmp_path / "data"), "--variant", variant, *size)
    assert f"{len(chosen)} crystals in" in built
    threads = str(torch.get_num_threads())
    fitted = call(
        "fit", str(tmp_path / "tiny.toml"), "--data", str(tmp_path / "data"), "-o", str(tmp_path / "run"), "--threads", threads
    )
    assert "energy MAE, eV" in fitted
    checkpoint = str(tmp_path / "run" / "checkpoint.pt")
    call(
        *("fit", str(tmp_path / "tiny.toml"), "--data", str(tmp_path / "data"), "-o", str(tmp_path / "tuned")),
        *("--from", checkpoint, "--threads", threads),
    )
    assert load_checkpoint(tmp_path / "tuned" / "checkpoint.pt").training.parent_sha256 == load_checkpoint(checkpoint).sha256
    judged = json.loads(call("evaluate", checkpoint, str(tmp_path / "data"), "--json"))
    stored = json.loads((tmp_path / "run" / "validation.json").read_text(encoding="utf-8"))
    for name, errors in judged["sets"][0]["models"].items():
        if name != "nearest neighbour":
            assert errors["total"]["energy_mae_ev"] == pytest.approx(stored[name]["total"]["energy_mae_ev"], abs=1e-6)


def test_a_model_can_be_given_cartesian_k_points_unless_its_loops_need_fractional_ones(
    label_texts: list[DocumentText], tmp_path: Path
) -> None:
    chosen = [t.text.strip() for t in label_texts if json.loads(t.text)["n_occupied"] >= 3][::24]
    (tmp_path / "labels.jsonl").write_text("\n".join(chosen), encoding="utf-8")
    command = ["dataset", str(tmp_path / "labels.jsonl"), "-o", str(tmp_path / "data"), "--frame", "cartesian"]
    refused = CliRunner().invoke(group, [*command, "--variant", "bloch"])
    assert refused.exit_code == 2
    assert "k-points in the fractional frame" in refused.output
    built = CliRunner().invoke(group, [*command, "--n-kpoints", "32", "--validation", "0.3"], catch_exceptions=False)
    assert built.exit_code == 0
    cartesian = Dataset(tmp_path / "data")
    features = cartesian[0].features
    reciprocal = 2.0 * np.pi * np.linalg.inv(features.crystal.lattice).T
    np.testing.assert_allclose(features.kpoints, features.kpath.frac_kpoints @ reciprocal, atol=1e-5)
    result = fit(dataclasses.replace(CONFIG, epochs=1), cartesian, tmp_path / "run")
    assert load_checkpoint(result.checkpoint).recipe.kpath.frame == "cartesian"


def test_steps_are_counted_in_epochs(data: Dataset, tmp_path: Path) -> None:
    counted: list[float] = []
    fit(dataclasses.replace(CONFIG, epochs=2), data, tmp_path / "run", steps=counted.append)
    n = -(-data.header.counts["train"] // CONFIG.batch_size)
    assert counted == pytest.approx([(i + 1) / n for i in range(2 * n)])
