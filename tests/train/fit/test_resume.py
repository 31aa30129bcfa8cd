"""A run that is interrupted and resumed ends as one that was not: bit for bit, on the CPU with the same number of threads."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from bandrt.cli import EXIT_INTERRUPTED, run
from bandrt.errors import OutputInTheWayError
from bandrt_train.checkpoint import load_checkpoint, save_checkpoint
from bandrt_train.cli.group import group
from bandrt_train.data.dataset import Dataset, DatasetRecipe, SplitRule
from bandrt_train.data.writer import DatasetWriter
from bandrt_train.fit.config import FitConfig, GapConfig, TrainerConfig
from bandrt_train.fit.run import fit
from bandrt_train.fit.run_folder import RunFolder
from tests.support.small_fits import CONFIG, N_KPOINTS, TINY, assert_same_run

EPOCHS = 5
DROPPING = dataclasses.replace(CONFIG, model=dataclasses.replace(TINY, dropout=0.2), gaps=GapConfig(batch_size=4), epochs=EPOCHS)
TIMEOUT_S = 120


@pytest.fixture(scope="module")
def whole(data: Dataset, gaps: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupts: dropout, shuffled bands, drawn gaps, warm-up, averaged weights."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    fit(DROPPING, data, folder, gaps=gaps)
    return folder


def interrupt_after(n: int) -> object:
    def progress(epoch: int, row: dict[str, float]) -> None:
        if epoch == n:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("n", [1, EPOCHS - 1])
def test_an_interrupted_run_goes_on_to_the_same_end(data: Dataset, gaps: Dataset, whole: Path, tmp_path: Path, n: int) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(DROPPING, data, tmp_path / "run", gaps=gaps, progress=interrupt_after(n))
    assert signal.getsignal(signal.SIGINT) == handler
    assert not (tmp_path / "run" / "validation.json").exists()
    torch.manual_seed(12345)
    epochs: list[int] = []
    fit(DROPPING, data, tmp_path / "run", gaps=gaps, resume=True, progress=lambda epoch, row: epochs.append(epoch))
    assert epochs == list(range(1, EPOCHS + 1))  # first what was done before
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.parametrize("before", [True, False])
def test_a_run_killed_around_the_moment_of_its_last_state_goes_on_to_the_same_end(
    data: Dataset, gaps: Dataset, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    class Killed(Exception):
        pass

    def die(folder: RunFolder, temporary: Path) -> None:
        last = (folder.path / "log.csv").read_text(encoding="utf-8").count("\n") == 4
        if last and before:
            raise Killed
        committed(folder, temporary)
        if last:
            raise Killed

    committed = RunFolder.commit
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "commit", die)
        with pytest.raises(Killed):
            fit(DROPPING, data, tmp_path / "run", gaps=gaps)
    fit(DROPPING, data, tmp_path / "run", gaps=gaps, resume=True)
    assert_same_run(tmp_path / "run", whole)


def test_early_stopping_remembers_what_came_before_the_interruption(data: Dataset, tmp_path: Path) -> None:
    still = dataclasses.replace(CONFIG, optimizer=dataclasses.replace(CONFIG.optimizer, learning_rate=0.0), patience=2)
    with pytest.raises(KeyboardInterrupt):
        fit(still, data, tmp_path / "run", progress=interrupt_after(2))
    epochs: list[int] = []
    assert fit(still, data, tmp_path / "run", resume=True, progress=lambda epoch, row: epochs.append(epoch)).best_epoch == 1
    assert epochs == [1, 2, 3]


def test_a_finished_run_is_not_trained_again(data: Dataset, gaps: Dataset, whole: Path) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in whole.iterdir() if file.name not in ("validation.json", "config.json")}
    result = fit(DROPPING, data, whole, gaps=gaps, resume=True)
    assert {name: (whole / name).stat().st_mtime_ns for name in before} == before
    stored = json.loads((whole / "validation.json").read_text(encoding="utf-8"))
    assert stored["best_epoch"] == result.best_epoch
    assert load_checkpoint(result.checkpoint).metrics == result.validation.flat("validation")


def test_resuming_what_was_never_begun_begins_it(data: Dataset, gaps: Dataset, whole: Path, tmp_path: Path) -> None:
    fit(DROPPING, data, tmp_path / "run", gaps=gaps, resume=True)
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (dataclasses.replace(DROPPING, seed=1), "config.seed is 1, was 0"),
        (dataclasses.replace(DROPPING, trainer=TrainerConfig(precision="bf16-mixed")), "precision is 'bf16-mixed', was '32-true'"),
    ],
)
def test_another_configuration_does_not_go_on_with_a_run(
    data: Dataset, gaps: Dataset, whole: Path, changed: FitConfig, named: str
) -> None:
    with pytest.raises(OutputInTheWayError, match=named) as caught:
        fit(changed, data, whole, gaps=gaps, resume=True)
    assert caught.value.code == "other-run"


def test_other_data_do_not_go_on_with_a_run_but_another_machine_does(
    data: Dataset, gaps: Dataset, whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(OutputInTheWayError, match="gaps_sha256 is ''"):
        fit(DROPPING, data, whole, resume=True)
    elsewhere = dataclasses.replace(DROPPING, trainer=TrainerConfig(accelerator="cpu", loader_workers=1))
    assert fit(elsewhere, data, copied(whole, tmp_path / "run"), gaps=gaps, resume=True).best_epoch >= 1


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (lambda recipe: dataclasses.replace(recipe, splits=SplitRule(1, 0.25, 0.05)), "recipe.splits.seed is 1, was 0"),
        (lambda recipe: dataclasses.replace(recipe, min_mapped_fraction=0.4), "recipe.min_mapped_fraction is 0.4, was 0.5"),
    ],
)
def test_the_same_labels_in_a_data_set_made_otherwise_do_not_go_on_with_a_run(
    data: Dataset, tmp_path: Path, changed: Callable[[DatasetRecipe], DatasetRecipe], named: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(CONFIG, data, tmp_path / "run", progress=interrupt_after(1))
    recipe = changed(data.header.recipe)
    writer = DatasetWriter(tmp_path / "data", recipe)
    for entry in data:
        writer.add(dataclasses.replace(entry, split=recipe.splits.split(entry.formula)))
    with pytest.raises(OutputInTheWayError, match=named) as caught:
        fit(CONFIG, writer.close(), tmp_path / "run", resume=True)
    assert caught.value.code == "other-run"


@pytest.fixture(scope="module")
def begun(data: Dataset, gaps: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of which one epoch is done."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(DROPPING, data, folder, gaps=gaps, progress=interrupt_after(1))
    return folder


def rewritten(dataset: Dataset, folder: Path, *, backwards: bool = False, part_size: int | None = None) -> Dataset:
    """The same entries in a folder of their own."""
    writer = DatasetWriter(folder, dataset.header.recipe, part_size=part_size or dataset.header.part_size)
    for entry in reversed(list(dataset)) if backwards else dataset:
        writer.add(entry)
    return writer.close()


@pytest.mark.parametrize(("backwards", "part_size"), [(True, None), (False, 5)])
@pytest.mark.parametrize("of_gaps", [False, True])
def test_the_same_crystals_in_another_order_do_not_go_on_with_a_run(
    data: Dataset, gaps: Dataset, begun: Path, tmp_path: Path, of_gaps: bool, backwards: bool, part_size: int | None
) -> None:
    dataset = gaps if of_gaps else data
    other = rewritten(dataset, tmp_path / "other", backwards=backwards, part_size=part_size)
    assert other.header.fingerprint == dataset.header.fingerprint  # as what is published says
    sets = {"dataset": data, "gaps": other} if of_gaps else {"dataset": other, "gaps": gaps}
    with pytest.raises(OutputInTheWayError, match="the same data come in another order") as caught:
        fit(DROPPING, folder=begun, resume=True, **sets)
    assert caught.value.code == "other-run"


def test_a_copy_of_the_data_goes_on_with_a_run(data: Dataset, gaps: Dataset, begun: Path, whole: Path, tmp_path: Path) -> None:
    folder = copied(begun, tmp_path / "run")
    fit(DROPPING, rewritten(data, tmp_path / "copy"), folder, gaps=gaps, resume=True)
    assert_same_run(folder, whole)


def test_a_run_of_an_earlier_version_goes_on_whatever_the_order(data: Dataset, still: Path, tmp_path: Path) -> None:
    folder = copied(still, tmp_path / "run")
    leave_out(folder, "identity", "order_sha256")
    assert fit(STILL, rewritten(data, tmp_path / "other", backwards=True), folder, resume=True).best_epoch == 1


def test_a_damaged_state_is_refused_and_says_what_to_do(data: Dataset, gaps: Dataset, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_bytes((whole / "config.json").read_bytes())
    content = (whole / "last.ckpt").read_bytes()
    (folder / "last.ckpt").write_bytes(content[: len(content) // 2])
    with pytest.raises(OutputInTheWayError, match="remove it to start over") as caught:
        fit(DROPPING, data, folder, gaps=gaps, resume=True)
    assert caught.value.code == "not-resumable"
    (folder / "last.ckpt").unlink()
    (folder / "validation.json").write_text("{}", encoding="utf-8")
    with pytest.raises(OutputInTheWayError, match=r"no last\.ckpt"):
        fit(DROPPING, data, folder, gaps=gaps, resume=True)


STILL = dataclasses.replace(CONFIG, optimizer=dataclasses.replace(CONFIG.optimizer, learning_rate=0.0), patience=1)
"""Its first epoch is the best, and its second the last."""


@pytest.fixture(scope="module")
def still(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("still") / "run"
    assert fit(STILL, data, folder).best_epoch == 1
    return folder


def leave_out(folder: Path, part: str, name: str) -> None:
    """Make the state of a run one of an earlier version, which did not say this."""
    content = torch.load(folder / "last.ckpt", weights_only=True)
    said = json.loads(content["callbacks"]["bandrt"][part])
    del said[name]
    content["callbacks"]["bandrt"][part] = json.dumps(said)
    torch.save(content, folder / "last.ckpt")


def copied(folder: Path, target: Path) -> Path:
    """A run folder to spoil."""
    return Path(shutil.copytree(folder, target))


@pytest.mark.parametrize("spoiled", ["gone", "damaged", "swapped"])
def test_best_weights_that_are_lost_are_not_said_to_be_there(
    data: Dataset, still: Path, whole: Path, tmp_path: Path, spoiled: str
) -> None:
    folder = copied(still, tmp_path / "run")
    spoil(folder / "checkpoint.pt", spoiled, whole)
    with pytest.raises(OutputInTheWayError, match=r"checkpoint\.pt: .* epoch 1, and last\.ckpt has those of epoch 2") as caught:
        fit(STILL, data, folder, resume=True)
    assert caught.value.code == "not-resumable"


@pytest.mark.parametrize("spoiled", ["gone", "damaged", "swapped"])
@pytest.mark.parametrize("config", [CONFIG, dataclasses.replace(CONFIG, keep="last")], ids=lambda config: str(config.keep))
def test_weights_of_the_last_epoch_are_written_again_where_they_are_lost(
    data: Dataset, whole: Path, tmp_path: Path, config: FitConfig, spoiled: str
) -> None:
    config = dataclasses.replace(config, epochs=2)
    assert fit(config, data, tmp_path / "run").best_epoch == 2
    folder = copied(tmp_path / "run", tmp_path / "spoiled")
    spoil(folder / "checkpoint.pt", spoiled, whole)
    fit(config, data, folder, resume=True)
    assert_same_run(folder, tmp_path / "run")
    assert load_checkpoint(folder / "checkpoint.pt").metrics == load_checkpoint(tmp_path / "run" / "checkpoint.pt").metrics


def spoil(checkpoint: Path, how: str, other: Path) -> None:
    """Take a file away, damage it, or put that of another run in its place."""
    checkpoint.unlink()
    if how == "damaged":
        checkpoint.write_bytes(b"garbage")
    elif how == "swapped":
        shutil.copy(other / "checkpoint.pt", checkpoint)


def test_a_rule_that_gaps_chose_does_not_make_other_weights(data: Dataset, gaps: Dataset, whole: Path, tmp_path: Path) -> None:
    folder = copied(whole, tmp_path / "run")
    kept = load_checkpoint(folder / "checkpoint.pt")
    save_checkpoint(
        folder / "checkpoint.pt",
        model=kept.build_model(),
        config=kept.config,
        recipe=kept.recipe,
        bands=dataclasses.replace(kept.bands, metal_tolerance_ev=0.123),
        training=kept.training,
        metrics=kept.metrics,
    )
    fit(DROPPING, data, folder, gaps=gaps, resume=True)
    assert load_checkpoint(folder / "checkpoint.pt").bands == kept.bands
    assert_same_run(folder, whole)


def test_a_run_of_an_earlier_version_needs_a_checkpoint_that_can_be_read(data: Dataset, still: Path, tmp_path: Path) -> None:
    folder = copied(still, tmp_path / "run")
    leave_out(folder, "best", "weights_sha256")
    assert fit(STILL, data, folder, resume=True).best_epoch == 1
    (folder / "checkpoint.pt").write_bytes(b"garbage")
    with pytest.raises(OutputInTheWayError, match="no zip archive") as caught:
        fit(STILL, data, folder, resume=True)
    assert caught.value.code == "not-resumable"


@pytest.mark.slow
def test_the_command_line_resumes_a_run_that_was_killed(data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(
        "epochs = 10\nbatch_size = 4\n[model]\nd_model = 12\nn_heads = 2\nencoder_layers = 1\ndecoder_layers = 1\ndropout = 0.2\n"
        f"n_kpoints = {N_KPOINTS}\n",
        encoding="utf-8",
    )

    def arguments(folder: str) -> list[str]:
        options = {"--data": data.folder, "-o": tmp_path / folder, "--threads": torch.get_num_threads()}
        return ["fit", str(tmp_path / "tiny.toml"), *(str(part) for pair in options.items() for part in pair)]

    def call(*more: str) -> str:
        result = CliRunner().invoke(group, more, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    log = tmp_path / "killed" / "log.csv"
    command = [sys.executable, "-c", "from bandrt.__main__ import main; main()", "train", *arguments("killed")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    deadline = time.monotonic() + TIMEOUT_S
    while not log.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    _, complaint = process.communicate()
    assert process.returncode == -signal.SIGKILL, complaint.decode()
    assert log.read_text(encoding="utf-8").count("\n") < 11, "the run was over before it was killed"
    refused = CliRunner().invoke(group, arguments("killed"))
    assert isinstance(refused.exception, OutputInTheWayError)
    assert "--resume" in refused.exception.message
    resumed = call(*arguments("killed"), "--resume")
    assert resumed.replace("killed", "whole") == call(*arguments("whole"))
    assert_same_run(tmp_path / "killed", tmp_path / "whole")


def test_the_command_line_says_how_to_go_on_after_an_interrupt(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(folder: RunFolder, temporary: Path) -> None:
        committed(folder, temporary)
        raise KeyboardInterrupt

    committed = RunFolder.commit
    monkeypatch.setattr(RunFolder, "commit", interrupted)
    (tmp_path / "tiny.toml").write_text(
        f"epochs = 2\n[model]\nd_model = 12\nn_heads = 2\nencoder_layers = 1\ndecoder_layers = 1\nn_kpoints = {N_KPOINTS}\n",
        encoding="utf-8",
    )
    code = run(["train", "fit", str(tmp_path / "tiny.toml"), "--data", str(data.folder), "-o", str(tmp_path / "run")])
    assert code == EXIT_INTERRUPTED
    assert "with --resume" in capsys.readouterr().err
    assert (tmp_path / "run" / "last.ckpt").exists()
