"""The report: what the command writes, in which every figure agrees with every other."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from bandrt.calibration import GapCalibration
from bandrt.manifest import BandRule, EnsembleRule, Manifest, TrainingDomain
from bandrt_train.checkpoint import load_checkpoint, save_checkpoint
from bandrt_train.cli.group import group
from bandrt_train.data.dataset import Dataset, Refusal, SplitRule
from bandrt_train.data.writer import DatasetWriter
from bandrt_train.evaluation import predictions
from bandrt_train.evaluation.card import CardError, card
from bandrt_train.evaluation.errors import EvaluationError
from bandrt_train.evaluation.judgement import MEAN, MODEL, NEIGHBOUR, judge
from bandrt_train.evaluation.markdown import compact_table, replace_block, section
from bandrt_train.evaluation.page import page
from bandrt_train.evaluation.plots import reliability
from bandrt_train.evaluation.report import read_report, summary
from bandrt_train.model.bandformer import build_model
from bandrt_train.model.config import ModelConfig
from tests.support.calibrations import plain_calibration
from tests.support.salt_data import RECIPE, band_entry, bands, dataset, gap_entry, salt

CONFIG = ModelConfig(d_model=12, n_heads=2, encoder_layers=1, decoder_layers=1, d_feedforward=24, n_kpoints=32)
RULE = BandRule(metal_tolerance_ev=0.3)
HALIDES = ("F", "Cl", "Br", "I")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Seven training crystals and nine others, two of them metals."""
    folder = tmp_path_factory.mktemp("sets") / "salts"
    training = [band_entry(f"t-{m}{x}", salt(m, x), bands(0.1, 0.05 * i)) for i, (m, x) in enumerate(pairs("LiK")[:7])]
    held = [band_entry(f"v-{m}{x}", salt(m, x), bands(0.2, 0.1 * i), "validation") for i, (m, x) in enumerate(pairs("NaRb")[:7])]
    metals = [band_entry(f"v-{m}", salt(m, "Al"), bands(0.2), "validation", metal=True) for m in ("Fe", "Ni")]
    refused = Refusal("spin", "/somewhere/spin.json", "read", "spin-polarised", "/somewhere/spin.json: 2 spin channels")
    return dataset(folder, training + held + metals, (refused,))


@pytest.fixture(scope="module")
def gaps(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("sets") / "gaps"
    training = [gap_entry(f"t-{m}{x}", salt(m, x), float(i % 3)) for i, (m, x) in enumerate(pairs("LiK"))]
    return dataset(folder, training + [gap_entry(f"v-{m}{x}", salt(m, x), 1.0, "validation") for m, x in pairs("NaRb")])


@pytest.fixture(scope="module")
def model(data: Dataset, gaps: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    untrained = build_model(CONFIG)
    for parameter in untrained.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    domain = TrainingDomain(
        n_crystals=7, elements=("Li", "F", "Cl", "K"), max_atoms=2, functional="DFT-PBE", data_sha256=data.header.fingerprint,
        n_gaps=8, gaps_sha256=gaps.header.fingerprint, gap_elements=("Li", "Br"), gap_max_atoms=2,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("model") / "model.pt"
    save_checkpoint(path, model=untrained, config=CONFIG, recipe=RECIPE, bands=RULE, training=domain)
    return path


@pytest.fixture(scope="module")
def written(data: Dataset, gaps: Dataset, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "new"
    result = evaluated(str(model), str(data.folder), str(gaps.folder), "-o", str(out))
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    for line in ("validation split of", "nearest neighbour", "training mean", "F1 of the metals", "report:"):
        assert line in result.stdout
    return out


def pairs(metals: str) -> list[tuple[str, str]]:
    return [(m, x) for m in re.findall("[A-Z][a-z]?", metals) for x in HALIDES]


def evaluated(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["evaluate", *arguments], catch_exceptions=False)


def report(folder: Path) -> dict[str, Any]:
    return read_report(folder / "report.json")


def test_the_table_of_the_report_is_the_mean_of_its_crystals(written: Path) -> None:
    bands_set, gap_set = report(written)["sets"]
    with (written / "crystals.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (bands_set["kind"], gap_set["kind"]) == ("bands", "gaps")
    for one in (bands_set, gap_set):
        own = [row for row in rows if row["data"] == one["data"]]
        total = one["models"][MODEL]["total"]
        assert total["n_crystals"] == one["n_crystals"] == len(own)
        right = [row["is_metal"] == row["predicted_metal"] for row in own]
        assert total["metal_accuracy"] == pytest.approx(sum(right) / len(own), abs=1e-5)
        errors = [abs(float(r["band_gap_ev"]) - float(r["predicted_gap_ev"])) for r in own if r["is_metal"] == "False"]
        assert total["gap_mae_ev"] == pytest.approx(np.mean(errors), abs=1e-5)
        for field in ("energy_mae_ev", "center_mae_ev", "dispersion_mae_ev"):
            values = [float(row[field]) for row in own if row[field]]
            assert len(values) == (len(own) if one is bands_set else 0)
            assert total[field] == (pytest.approx(np.mean(values), abs=1e-5) if values else None)
    assert bands_set["models"][MODEL]["metal"]["n_crystals"] == 2


def test_groups_add_up_to_the_whole(written: Path) -> None:
    one = report(written)["sets"][0]
    whole = one["models"][MODEL]["total"]
    for groups in (
        one["by_crystal_system"],
        {q["name"]: {"n_crystals": q["n_crystals"], "energy_mae_ev": q["mean_ev"]} for q in one["quintiles"]},
    ):
        total = sum(g["n_crystals"] * g["energy_mae_ev"] for g in groups.values())
        assert total / whole["n_crystals"] == pytest.approx(whole["energy_mae_ev"], abs=1e-5)
    assert one["worst"][0]["error_ev"] == pytest.approx(one["quintiles"][-1]["to_ev"], abs=1e-6)
    assert (one["by_element"]["Al"]["n_crystals"], one["by_element"]["Al"]["n_nonmetals"]) == (2, 0)
    assert (one["by_element"]["Na"]["n_crystals"], one["by_element"]["Na"]["n_nonmetals"]) == (4, 4)


def test_the_neighbour_is_judged_like_the_model(written: Path) -> None:
    one = report(written)["sets"][0]
    assert set(one["models"]) == set(one["intervals"]) == {MODEL, NEIGHBOUR, MEAN}
    low, high = one["intervals"][MODEL]["energy_mae_ev"]
    assert low < one["models"][MODEL]["total"]["energy_mae_ev"] < high
    assert one["models"][NEIGHBOUR]["total"]["energy_mae_ev"] < one["models"][MODEL]["total"]["energy_mae_ev"]  # it is untrained


def test_no_folder_of_this_machine_is_in_the_report(written: Path) -> None:
    for name in ("report.json", "report.html", "crystals.csv"):
        assert str(written.parent.parent) not in (written / name).read_text(encoding="utf-8")


class Page(HTMLParser):
    """What a page asks for, and whether its tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[str] = []
        self.cells = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert tag not in ("script", "link", "iframe")
        if tag == "img":
            self.images.append(values["src"] or "")
        elif tag != "meta":
            self.open.append(tag)
        self.cells += tag == "td"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(written: Path) -> None:
    text = (written / "report.html").read_text(encoding="utf-8")
    parsed = Page()
    parsed.feed(text.removeprefix("<!doctype html>"))
    assert parsed.open == []
    assert parsed.cells > 100
    assert len(parsed.images) == 7  # scatter, violins, elements of both sets, and band structures
    assert all(image.startswith("data:image/png;base64,iVBOR") for image in parsed.images)
    energy = report(written)["sets"][0]["models"][MODEL]["total"]["energy_mae_ev"]
    assert f"<td>{energy:.3f}</td>" in text


def test_what_is_printed_as_json_is_what_is_stored(written: Path, data: Dataset, gaps: Dataset, model: Path) -> None:
    result = evaluated(str(model), str(data.folder), str(gaps.folder), "--json")
    assert json.loads(result.stdout) == json.loads((written / "report.json").read_text(encoding="utf-8"))


def test_all_of_an_outside_data_set_is_judged_by_what_the_model_was_trained_on(data: Dataset, model: Path, tmp_path: Path) -> None:
    crystals = [("NaCl", salt("Na", "Cl")), ("LiF", salt("Li", "F"))]
    refused = Refusal("spin", "/somewhere/spin.json", "read", "spin-polarised", "/somewhere/spin.json: 2 spin channels")
    outside = dataset(tmp_path / "outside", [band_entry(name, c, bands(0.1)) for name, c in crystals], (refused,))
    result = evaluated(
        str(model), str(outside.folder), "--split", "all", "--training", str(data.folder), "-o", str(tmp_path / "out")
    )
    assert "1 of 2 crystals" in result.stderr
    [one] = report(tmp_path / "out")["sets"]
    assert [row["formula_seen"] for row in one["crystals"]] == [False, True]
    assert one["n_formulas_seen"] == 1
    assert one["by_formula"]["seen in training"][MODEL]["n_crystals"] == 1
    assert one["refused"] == [{"id": "spin", "code": "spin-polarised", "message": "spin.json: 2 spin channels"}]
    assert "spin (spin-polarised)" in section(one)

    alone = evaluated(str(model), str(outside.folder), "--split", "all")
    assert "nearest" not in alone.stdout
    assert "formulas of" in alone.stderr


def test_a_split_that_the_training_did_not_hold_out_is_told(data: Dataset, model: Path, tmp_path: Path) -> None:
    assert evaluated(str(model), str(data.folder)).stderr == ""
    writer = DatasetWriter(tmp_path / "dealt", dataclasses.replace(data.header.recipe, splits=SplitRule(seed=1)))
    for entry in data:
        writer.add(entry)
    writer.close()
    assert "trained on data not given here" in evaluated(str(model), str(tmp_path / "dealt")).stderr


def test_predictions_that_a_model_was_taught_are_among_what_it_was_trained_on(
    data: Dataset, gaps: Dataset, model: Path, tmp_path: Path
) -> None:
    taught = dataset(tmp_path / "taught", [band_entry("NaCl", salt("Na", "Cl"), bands(0.1))])
    outside = dataset(tmp_path / "outside", [band_entry("NaCl", salt("Na", "Cl"), bands(0.1))])
    checkpoint = load_checkpoint(model)
    domain = dataclasses.replace(checkpoint.training, teacher_sha256=taught.header.fingerprint)
    path = tmp_path / "model.pt"
    save_checkpoint(path, model=checkpoint.build_model(), config=CONFIG, recipe=RECIPE, bands=checkpoint.bands, training=domain)
    asked = [str(path), str(outside.folder), "--split", "all", "--training", str(data.folder), "--training", str(gaps.folder)]
    assert "trained on data not given here" in evaluated(*asked).stderr
    assert "1 of 1 crystals" in evaluated(*asked, "--training", str(taught.folder)).stderr


def test_a_split_without_crystals_or_training_data_of_another_kind_is_refused(data: Dataset, model: Path, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError) as caught:
        judge(model, data, "test")
    assert caught.value.code == "empty-split"
    folder = tmp_path / "other"
    folder.mkdir()
    for file in data.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    header = json.loads((folder / "dataset.json").read_text())
    header["recipe"]["featurization"]["kpath"]["scheme"] = "setyawan_curtarolo"
    (folder / "dataset.json").write_text(json.dumps(header))
    with pytest.raises(EvaluationError) as caught:
        judge(model, data, "validation", training=[Dataset(folder)])
    assert caught.value.code == "other-recipe"


def test_an_uncertainty_is_compared_with_the_errors(
    data: Dataset, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = judge(model, data, "validation").errors[MODEL].energy_ev
    predict = predictions.predict_entries

    def estimating(*arguments: Any) -> predictions.Predictions:
        return dataclasses.replace(predict(*arguments), uncertainty_ev=(2.0 * errors).astype(np.float32))

    monkeypatch.setattr("bandrt_train.evaluation.predictions.predict_entries", estimating)
    judged = judge(model, data, "validation")
    values = summary(model, [judged])
    found = values["sets"][0]["calibration"]
    assert found["spearman"] == pytest.approx(1.0)
    assert found["expected_ev"] == pytest.approx(2 * found["found_ev"], rel=1e-5)
    assert [one["n_crystals"] for one in found["reliability"]] == [2, 2, 2, 2, 1]
    assert values["sets"][0]["crystals"][0]["uncertainty_ev"] == pytest.approx(2 * errors[0], abs=1e-5)
    assert reliability(judged) is not None
    assert "rank correlation (Spearman) 1.000; by fifths, expected and made: " in section(values["sets"][0])
    monkeypatch.setattr("bandrt_train.evaluation.page.FIGURES", {})
    assert "Rank correlation (Spearman) of expected and made errors: 1.000" in page(values, [judged])


def test_probabilities_of_shortlists_are_compared_with_what_is_found(
    data: Dataset, gaps: Dataset, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = predictions.predict_entries

    def calibrated(calibration: GapCalibration | None) -> dict[str, Any]:
        def predicting(*arguments: Any) -> predictions.Predictions:
            made = predict(*arguments)
            return dataclasses.replace(made, model=dataclasses.replace(made.model, calibration=calibration))

        monkeypatch.setattr("bandrt_train.evaluation.predictions.predict_entries", predicting)
        judged = [judge(model, one, "validation", training=[data, gaps]) for one in (data, gaps)]
        values = summary(model, judged)
        monkeypatch.setattr("bandrt_train.evaluation.page.FIGURES", {})
        assert ("Shortlists: expected and found hits" in page(values, judged)) is (values["sets"][0]["screening"] is not None)
        return values

    assert [one["screening"] for one in calibrated(None)["sets"]] == [None, None]
    of_another = plain_calibration(hand_over_sha256="f" * 64)
    assert [one["screening"] for one in calibrated(of_another)["sets"]] == [None, None]
    values = calibrated(plain_calibration())
    for one in values["sets"]:
        windows = {(row["low_ev"], row["high_ev"]): row for row in one["screening"]}
        metals = windows[0.0, 0.0]["all"]
        said = one["models"][MODEL]["total"]
        assert metals["n_crystals"] == one["n_crystals"]
        assert metals["found"] == one["n_crystals"] - said["n_nonmetals"]
        n_called = windows[0.0, 0.0]["as_predicted"]["n_crystals"]
        assert metals["expected"] == pytest.approx(0.9 * n_called + 0.2 * (one["n_crystals"] - n_called), abs=0.01)
        assert "Hits that `bandrt screen` expects of these crystals" in section(one)
    [row] = [row for row in values["sets"][1]["screening"] if row["low_ev"] == 1.0]
    assert row["all"]["found"] == 8  # all labels of this set are 1 eV


def test_the_card_says_what_the_report_and_the_manifest_say(written: Path, model: Path) -> None:
    checkpoint, values = load_checkpoint(model), report(written)
    outputs = ("band_energies",)
    manifest = Manifest("paper", {}, checkpoint.sha256, RECIPE, RULE, (), outputs, training=checkpoint.training)
    text = card(manifest, "f" * 64, [values])
    for one in values["sets"]:
        assert compact_table(one, "this engine") in text
    assert f"{values['sets'][0]['models'][MODEL]['total']['energy_mae_ev']:.3f}" in text
    assert "Elements (4): Li F Cl K" in text
    assert "of which 1 are in none of the band structures: Br" in text
    assert "of formulas never trained on" in text
    assert "seeds" not in text
    of_three = dataclasses.replace(manifest, ensemble=EnsembleRule(("a", "b", "c"), floor_ev=0.125, slope=1.5, n_crystals=30))
    said = "the mean of 3 such models that differ in their seeds. `uncertainty_ev` is 0.125 eV + 1.5 times their disagreement"
    assert said in card(of_three, "f" * 64, [values])
    with pytest.raises(CardError) as caught:
        card(dataclasses.replace(manifest, checkpoint_sha256="0" * 64), "f" * 64, [values])
    assert caught.value.code == "other-model"


def test_something_else_is_not_read_as_a_report(tmp_path: Path) -> None:
    for text in ("", "{}", "[]", '{"format_version": 7, "sets": [1], "model": {"file": "a"}}'):
        (tmp_path / "report.json").write_text(text)
        with pytest.raises(EvaluationError) as caught:
            read_report(tmp_path / "report.json")
        assert caught.value.code == "not-a-report"


def test_a_block_of_a_page_is_replaced_and_the_rest_kept() -> None:
    text = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n"
    assert replace_block(text, "x", r"new \1") == "a\n<!-- x: begin -->\nnew \\1\n<!-- x: end -->\nb\n"
    with pytest.raises(ValueError, match="y: begin"):
        replace_block(text, "y", "new")
