"""Training runs of a learned Hamiltonian: they learn, they hold out, they go on where they were interrupted."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bandrt.crystal import Crystal
from bandrt.errors import OutputInTheWayError
from bandrt.manifest import TrainingDomain
from bandrt_train.data.dataset import SplitRule
from bandrt_train.data.hamiltonian.bands import BandChoice, BandLabels, CountedBands, count_bands
from bandrt_train.data.hamiltonian.folds import FoldRule, HeldOut
from bandrt_train.data.hamiltonian.gaps import KnownGap
from bandrt_train.fit.config import FitError, OptimizerConfig, read_config
from bandrt_train.fit.hamiltonian.config import (
    HamiltonianFit,
    KnownGapConfig,
    LossConfig,
    TightBindingConfig,
    read_hamiltonian_config,
)
from bandrt_train.fit.hamiltonian.loss import _gap_difference, differences, draw
from bandrt_train.fit.hamiltonian.run import WATCHED, fit_hamiltonian
from bandrt_train.fit.hamiltonian.training import Training, divide
from bandrt_train.fit.run_folder import RunFolder
from bandrt_train.hamiltonian_checkpoint import load_hamiltonian, save_hamiltonian
from bandrt_train.model.config import ConfigError
from bandrt_train.model.hamiltonian.model import LearnedHamiltonian
from tests.support.small_fits import assert_same_run
from tests.support.small_hamiltonians import FCC, SMALL, document_of, small_model

CONFIGS = Path(__file__).resolve().parents[4] / "train" / "configs"
CONFIG = HamiltonianFit(
    model=dataclasses.replace(SMALL, dropout=0.2),
    optimizer=OptimizerConfig(learning_rate=3e-3, warmup_epochs=1.0, ema_decay=0.9),
    loss=LossConfig(n_kpoints=3),
    tight_binding=TightBindingConfig(epochs=1, n_kpoints=2),
    gaps=KnownGapConfig(n_kpoints=2),
    splits=SplitRule(0, 0.3, 0.1),
    epochs=4,
    batch_size=3,
)


def salts(pairs: list[tuple[int, int]], *, a: float, method: str) -> BandLabels:
    """Rock salts whose bands a model made."""
    teacher, places = small_model(), np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
    crystals = [Crystal(a * FCC, np.array(pair, np.int32), places) for pair in pairs]
    documents = [dataclasses.replace(document_of(teacher, one, name=f"{one.formula}-{a}"), method=method) for one in crystals]
    return BandLabels(tuple(count_bands(one, BandChoice(), document_sha256=one.id) for one in documents), ())


CATIONS, ANIONS = (3, 11, 19, 12, 20), (9, 17, 8, 16)


@pytest.fixture(scope="module")
def labels() -> BandLabels:
    return salts([(c, a) for c in CATIONS for a in ANIONS], a=5.2, method="DFT")


@pytest.fixture(scope="module")
def cheap() -> BandLabels:
    return salts([(c, a) for c in CATIONS[:3] for a in ANIONS], a=5.0, method="cheap")


@pytest.fixture(scope="module")
def gaps(labels: BandLabels) -> tuple[KnownGap, ...]:
    insulators = [one for one in labels.bands if not one.is_metal]
    return tuple(KnownGap(one.id, one.formula, one.pairs, one.kpoints, 2.0, one.id) for one in insulators)


@pytest.fixture(scope="module")
def whole(labels: BandLabels, cheap: BandLabels, gaps: tuple[KnownGap, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    fit_hamiltonian(CONFIG, labels, folder, tight_binding=cheap, gaps=gaps)
    return folder


@pytest.mark.parametrize("n", [1, 2, 4])
def test_an_interrupted_run_goes_on_to_the_same_end(
    labels: BandLabels, cheap: BandLabels, gaps: tuple[KnownGap, ...], whole: Path, tmp_path: Path, n: int
) -> None:
    def interrupt(epoch: int, row: dict[str, float]) -> None:
        if epoch == n:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_hamiltonian(CONFIG, labels, tmp_path / "run", tight_binding=cheap, gaps=gaps, progress=interrupt)
    assert not (tmp_path / "run" / "validation.json").exists()
    torch.manual_seed(999)
    told: list[int] = []
    fit_hamiltonian(
        CONFIG,
        labels,
        tmp_path / "run",
        tight_binding=cheap,
        gaps=gaps,
        resume=True,
        progress=lambda epoch, row: told.append(epoch),
    )
    assert told == [1, 2, 3, 4, 5]
    assert_same_run(tmp_path / "run", whole)


def test_a_run_killed_before_its_last_state_is_written_goes_on_to_the_same_end(
    labels: BandLabels,
    cheap: BandLabels,
    gaps: tuple[KnownGap, ...],
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    committed = RunFolder.commit

    def die(folder: RunFolder, temporary: Path) -> None:
        if (folder.path / "log.csv").read_text(encoding="utf-8").count("\n") == 4:
            raise KeyboardInterrupt
        committed(folder, temporary)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "commit", die)
        with pytest.raises(KeyboardInterrupt):
            fit_hamiltonian(CONFIG, labels, tmp_path / "run", tight_binding=cheap, gaps=gaps)
    fit_hamiltonian(CONFIG, labels, tmp_path / "run", tight_binding=cheap, gaps=gaps, resume=True)
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.parametrize("content", [None, b"garbage", "swapped"])
def test_weights_that_are_lost_are_written_again(
    labels: BandLabels, cheap: BandLabels, gaps: tuple[KnownGap, ...], whole: Path, tmp_path: Path, content: bytes | str | None
) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    checkpoint = folder / "checkpoint.pt"
    checkpoint.unlink()
    if isinstance(content, bytes):
        checkpoint.write_bytes(content)
    elif content is not None:
        save_hamiltonian(checkpoint, model=small_model().float(), held_out=HeldOut(), training=TrainingDomain())
    fit_hamiltonian(CONFIG, labels, folder, tight_binding=cheap, gaps=gaps, resume=True)
    assert_same_run(folder, whole)
    found, wanted = (load_hamiltonian(one / "checkpoint.pt") for one in (folder, whole))
    assert (found.training, found.metrics, found.held_out) == (wanted.training, wanted.metrics, wanted.held_out)


def test_weights_that_are_there_stay_as_they_are(
    labels: BandLabels, cheap: BandLabels, gaps: tuple[KnownGap, ...], whole: Path
) -> None:
    before = (whole / "checkpoint.pt").stat().st_mtime_ns
    fit_hamiltonian(CONFIG, labels, whole, tight_binding=cheap, gaps=gaps, resume=True)
    assert (whole / "checkpoint.pt").stat().st_mtime_ns == before


def test_another_run_is_not_gone_on_with(labels: BandLabels, cheap: BandLabels, gaps: tuple[KnownGap, ...], whole: Path) -> None:
    def code(config: HamiltonianFit = CONFIG, held_out: HeldOut | None = None, known: tuple[KnownGap, ...] = gaps) -> str:
        with pytest.raises(OutputInTheWayError) as refused:
            fit_hamiltonian(config, labels, whole, held_out=held_out, tight_binding=cheap, gaps=known, resume=True)
        return refused.value.code

    assert code(dataclasses.replace(CONFIG, seed=1)) == "other-run"
    assert code(held_out=HeldOut(CONFIG.splits, FoldRule(5, 0))) == "other-run"
    assert code(known=gaps[1:]) == "other-run"
    with pytest.raises(OutputInTheWayError) as refused:
        fit_hamiltonian(CONFIG, labels, whole, tight_binding=cheap, gaps=gaps)
    assert refused.value.code == "output-exists"


def test_the_same_labels_in_another_order_are_another_run(
    labels: BandLabels, cheap: BandLabels, gaps: tuple[KnownGap, ...], whole: Path, tmp_path: Path
) -> None:
    other = BandLabels(labels.bands[::-1], ())
    assert other.sha256 == labels.sha256  # as what is published says
    cheaper = BandLabels(cheap.bands[::-1], ())
    for found, beside, known in ((other, cheap, gaps), (labels, cheaper, gaps), (labels, cheap, gaps[::-1])):
        with pytest.raises(OutputInTheWayError, match="the same data come in another order") as refused:
            fit_hamiltonian(CONFIG, found, whole, tight_binding=beside, gaps=known, resume=True)
        assert refused.value.code == "other-run"
    held_out = [one for one in labels.bands if CONFIG.splits.split(one.formula) == "test"]
    assert held_out
    moved = BandLabels((*held_out, *(one for one in labels.bands if one not in held_out)), ())
    fit_hamiltonian(CONFIG, moved, whole, tight_binding=cheap, gaps=gaps, resume=True)  # of these nothing is drawn

    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    content = torch.load(folder / "last.ckpt", weights_only=True)
    identity = json.loads(content["callbacks"]["bandrt"]["identity"])
    del identity["order_sha256"]  # as an earlier version wrote it
    content["callbacks"]["bandrt"]["identity"] = json.dumps(identity)
    torch.save(content, folder / "last.ckpt")
    fit_hamiltonian(CONFIG, other, folder, tight_binding=cheap, gaps=gaps, resume=True)


def test_a_run_says_what_it_learned_and_what_it_held_out(whole: Path, labels: BandLabels) -> None:
    read = load_hamiltonian(whole / "checkpoint.pt")
    learned = [one for one in labels.bands if CONFIG.splits.split(one.formula) == "train"]
    assert read.held_out == HeldOut(CONFIG.splits)
    assert read.training.splits == CONFIG.splits.said
    assert read.training.n_crystals == len(learned) < len(labels.bands)
    assert (read.training.functional, read.training.pretraining) == ("DFT", ("cheap",))
    assert read.training.n_gaps > 0
    said = json.loads((whole / "validation.json").read_text(encoding="utf-8"))
    assert said[WATCHED] == read.metrics[WATCHED]
    rows = (whole / "log.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + 5
    assert {"train/loss", "train/gap_loss", "train/tight_binding_loss", WATCHED} <= set(rows[0].split(","))


def test_held_out_formulas_are_not_learned_from_anything(labels: BandLabels, cheap: BandLabels, gaps: tuple[KnownGap, ...]) -> None:
    held = HeldOut(fold=FoldRule(3, 1))
    material = divide(labels.bands, cheap.bands, gaps, held)
    learned = {one.formula for part in (material.labels, material.tight_binding, material.gaps) for one in part}
    assert learned
    assert all(held.split(formula) == "train" for formula in learned)
    assert material.validation == ()
    validated = divide(labels.bands, cheap.bands, gaps, HeldOut(CONFIG.splits)).validation
    assert {CONFIG.splits.split(one.formula) for one in validated} == {"validation"}


def test_gaps_are_learned_of_elements_that_have_labels(labels: BandLabels, gaps: tuple[KnownGap, ...]) -> None:
    chlorides = [one for one in labels.bands if "Cl" in one.formula]
    material = divide(chlorides, (), gaps, HeldOut(SplitRule(0, 0.0, 0.0)))
    assert {one.formula for one in material.gaps} == {one.formula for one in chlorides if not one.is_metal}


def test_a_document_that_counts_less_is_learned_less(tmp_path: Path) -> None:
    document = document_of(small_model(), Crystal(5.2 * FCC, np.array([11, 17], np.int32), np.array([[0.0] * 3, [0.5] * 3])))
    doubtful, trusted = (count_bands(dataclasses.replace(document, weight=w), BandChoice()) for w in (0.05, 1.0))
    assert (doubtful.crystal_weight, trusted.crystal_weight) == (0.05, 1.0)
    assert torch.equal(doubtful.weight, trusted.weight)  # which bands are learned, and watched, stays as it is
    config = dataclasses.replace(CONFIG, epochs=1, splits=SplitRule(0, 0.0, 0.0))
    rows: list[dict[str, float]] = []
    for name, one in (("doubtful", doubtful), ("trusted", trusted)):
        fit_hamiltonian(config, BandLabels((one,), ()), tmp_path / name, progress=lambda epoch, row: rows.append(row))
    assert rows[0]["train/loss"] == pytest.approx(0.05 * rows[1]["train/loss"])


def test_labels_that_are_trusted_in_full_give_the_weights_that_they_gave_before_documents_had_weights(
    labels: BandLabels, cheap: BandLabels, gaps: tuple[KnownGap, ...], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unweighted(
        model: LearnedHamiltonian, found: Sequence[CountedBands], rng: np.random.Generator, config: LossConfig, n_kpoints: int
    ) -> Tensor:
        drawn = [draw(one, rng, n_kpoints) for one in found]
        kpoints = [one.kpoints[torch.from_numpy(points)].to(model.flat_scale) for one, points in zip(found, drawn, strict=True)]
        losses = []
        for one, points, bands in zip(found, drawn, model([one.pairs for one in found], kpoints), strict=True):
            weight, apart = one.weight[torch.from_numpy(points)], differences(one, points, bands, config.smearing_ev)
            huber = F.huber_loss(apart, torch.zeros_like(apart), reduction="none", delta=config.huber_ev) / config.huber_ev
            loss = (weight * huber).sum() / weight.sum().clamp(min=1.0)
            if one.edges:
                loss = loss + config.gap_weight * _gap_difference(one, bands, config.huber_ev)
            losses.append(loss)
        return torch.stack(losses).mean()

    monkeypatch.setattr("bandrt_train.fit.hamiltonian.training.band_loss", unweighted)
    fit_hamiltonian(CONFIG, labels, tmp_path / "run", tight_binding=cheap, gaps=gaps)
    assert_same_run(tmp_path / "run", whole)


def test_a_model_learns_what_another_says(labels: BandLabels, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, model=SMALL, epochs=25, splits=SplitRule(0, 0.0, 0.0))
    few = BandLabels(labels.bands[:6], ())
    rows: list[dict[str, float]] = []
    fit_hamiltonian(config, few, tmp_path / "run", progress=lambda epoch, row: rows.append(row))
    assert rows[-1]["train/loss"] < 0.5 * rows[0]["train/loss"]
    assert WATCHED not in rows[-1]  # nothing validates


def test_nothing_to_learn_is_said_before_the_folder_is_made(labels: BandLabels, tmp_path: Path) -> None:
    with pytest.raises(FitError) as refused:
        fit_hamiltonian(dataclasses.replace(CONFIG, splits=SplitRule(0, 0.0, 1.0)), labels, tmp_path / "run")
    assert refused.value.code == "empty-split"
    assert not (tmp_path / "run").exists()


def test_a_run_that_comes_to_nothing_stops_and_says_so(labels: BandLabels, tmp_path: Path) -> None:
    def spoiled(one: CountedBands) -> CountedBands:
        return dataclasses.replace(one, energies=one.energies * math.inf)

    with pytest.raises(FitError) as refused:
        fit_hamiltonian(CONFIG, BandLabels(tuple(map(spoiled, labels.bands)), ()), tmp_path / "run")
    assert refused.value.code == "diverged"


def test_eigenvalues_that_cannot_be_found_are_a_run_that_came_to_nothing(labels: BandLabels, tmp_path: Path) -> None:
    wild = OptimizerConfig(1e6, warmup_epochs=0.0, gradient_clip=1e6, ema_decay=0.0)
    with pytest.raises(FitError) as refused:
        fit_hamiltonian(dataclasses.replace(CONFIG, optimizer=wild), labels, tmp_path / "run")
    assert refused.value.code == "diverged"


def test_weights_stay_where_a_gradient_is_not_finite(labels: BandLabels) -> None:
    training = Training(CONFIG, divide(labels.bands, (), (), HeldOut(CONFIG.splits)))
    before = training.model.flat_scale.clone()
    assert not training._step(training.model.flat_scale * math.nan, 1.0)
    assert torch.equal(training.model.flat_scale, before)
    assert training._step(training.model.flat_scale * 2.0, 1.0)
    assert not torch.equal(training.model.flat_scale, before)


def test_the_configuration_in_the_repository_is_what_defaults_say() -> None:
    assert read_hamiltonian_config(CONFIGS / "hamiltonian.toml") == HamiltonianFit()


@pytest.mark.parametrize(
    "text",
    [
        "epochs = 0\n[model]\nvariant = 'hamiltonian'",
        "[model]\nvariant = 'hamiltonian'\nwidht = 3",
        "[model]\nvariant = 'bloch'",
        "epochs = 3",
        "[model]\nvariant = 'hamiltonian'\n[bands]\nbelow = 0",
        "[model]\nvariant = 'hamiltonian'\n[gaps]\nbatch_size = 0",
        "[model]\nvariant = 'hamiltonian'\n[tight_binding]\nshare = 2.0",
        "[model]\nvariant = 'hamiltonian'\n[tight_binding]\nweight = -1.0",
        "[model]\nvariant = 'hamiltonian'\n[gaps]\nweight = nan",
        "[model]\nvariant = 'hamiltonian'\n[bands]\nlowest_ev = nan",
        "[model]\nvariant = 'hamiltonian'\n[bands]\nlowest_ev = 1.0",
        "[model]\nvariant = 'hamiltonian'\n[splits]\ntest = -0.1",
        "[model]\nvariant = 'hamiltonian'\n[splits]\ntest = nan",
        "[model]\nvariant = 'hamiltonian'\n[splits]\nvalidation = 0.6\ntest = 0.6",
        "[model]\nvariant = 'hamiltonian'\n[optimizer]\ngradient_clip = -1.0",
        "seed = -1\n[model]\nvariant = 'hamiltonian'",
        "[model",
    ],
)
def test_a_configuration_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.toml").write_text(text, encoding="utf-8")
    with pytest.raises(FitError) as refused:
        read_hamiltonian_config(tmp_path / "c.toml")
    assert refused.value.code == "config-invalid"


def test_the_other_command_says_where_this_variant_is_trained() -> None:
    with pytest.raises(ConfigError, match="bandrt train hamiltonian fit") as refused:
        read_config(CONFIGS / "hamiltonian.toml")
    assert refused.value.code == "config-invalid"
