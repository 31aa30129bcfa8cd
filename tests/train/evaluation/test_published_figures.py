"""README, model card and RESULTS.md say what the stored reports say, and those are about the engines that ship."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from bandrt.engine import SHIPPED_ENGINES, read_manifest
from bandrt.files import file_sha256
from bandrt_train.cli.group import group
from bandrt_train.evaluation.directness import SAME_EV
from bandrt_train.hamiltonian_checkpoint import load_hamiltonian
from bandrt_train.weights import SHIPPED_CHECKPOINTS
from tests.support.scripts import load_script

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "train" / "results"


@pytest.fixture(scope="module")
def publish() -> ModuleType:
    return load_script(ROOT / "tools" / "published_tables.py")


def test_every_published_figure_comes_from_a_stored_report(publish: ModuleType) -> None:
    pages = publish.published()
    assert {path.name for path in pages} == {"README.md", "ACCURATE.md", "RESULTS.md"}
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.relative_to(ROOT)}: run python tools/published_tables.py"


@pytest.mark.parametrize("name", ["test", "validation", "external"])
def test_the_reports_are_about_the_shipped_engine(name: str) -> None:
    report = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    assert report["model"]["sha256"] == file_sha256(SHIPPED_ENGINES["fast"]), "a new engine ships: evaluate it (train/RESULTS.md)"
    if name in ("test", "validation"):
        assert all(one["split"] == name and one["n_formulas_seen"] == 0 for one in report["sets"])


def test_the_figures_in_the_sentences_of_the_readme_are_the_stored_ones(publish: ModuleType) -> None:
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    test = json.loads((RESULTS / "test.json").read_text(encoding="utf-8"))["sets"][0]
    trained = read_manifest(SHIPPED_ENGINES["fast"]).training
    bench = publish.benchmark("bench")
    assert bench["engines"][0]["sha256"] == file_sha256(SHIPPED_ENGINES["fast"]), "a new engine ships: measure it"
    own = [row for row in bench["latency"] if row["contender"] == bench["engines"][0]["name"]]
    latencies = [row["latency"]["p50_ms"] for row in own if row["batch"] == 1]
    for sentence in (
        f"Trained on {trained.n_crystals} DFT band structures, {trained.n_gaps:,} gaps and predictions of `accurate`.",
        f"a correlation of {test['calibration']['spearman']:.2f}",
        f"[{min(latencies):.0f} to {max(latencies):.0f} ms](#speed)",
    ):
        assert sentence in readme


def test_the_validation_errors_are_those_in_the_manifest() -> None:
    stored = json.loads((RESULTS / "validation.json").read_text(encoding="utf-8"))
    [bands] = [one for one in stored["sets"] if one["kind"] == "bands"]
    trained = read_manifest(SHIPPED_ENGINES["fast"]).training.metrics
    if not bands["training_known"]:
        pytest.skip("the labels have grown since this engine was trained")
    for field in ("energy_mae_ev", "gap_mae_ev", "metal_accuracy"):
        assert bands["models"]["model"]["total"][field] == pytest.approx(trained[f"validation/{field}"], abs=1e-3)


def test_the_card_command_writes_what_is_published(publish: ModuleType, tmp_path: Path) -> None:
    reports = [str(RESULTS / f"{name}.json") for name in publish.REPORTS]
    arguments = ["card", str(SHIPPED_ENGINES["fast"]), *reports, "-o", str(tmp_path / "card.md"), "--sources", publish.SOURCES]
    CliRunner().invoke(group, arguments, catch_exceptions=False)
    assert (tmp_path / "card.md").read_text(encoding="utf-8") == SHIPPED_ENGINES["fast"].with_name("README.md").read_text(
        encoding="utf-8"
    )


def block(page: str, name: str) -> list[list[str]]:
    """The cells of the table rows between the marks of a page."""
    text = (ROOT / page).read_text(encoding="utf-8").split(f"<!-- {name}: begin -->")[1].split(f"<!-- {name}: end -->")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def stored(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


FIELDS = (
    *("energy_mae_ev", "counted_mae_ev", "gap_mae_ev", "metal_accuracy", "direct_gap_mae_ev", "direct_accuracy", "indirect_share"),
)
"""Of a class of crystals, in the order of tables."""
SCORES = sorted(path.stem for path in RESULTS.glob("accurate-*.json"))


def test_the_scores_beside_the_fast_engine_are_about_both_shipped_checkpoints() -> None:
    scores = stored("accurate-held-out")
    assert scores["members"] == [file_sha256(SHIPPED_CHECKPOINTS["accurate"])], "a new engine ships: score it (train/RESULTS.md)"
    assert scores["members"] == [read_manifest(SHIPPED_ENGINES["accurate"]).checkpoint_sha256]
    assert scores["beside"]["model"] == file_sha256(SHIPPED_CHECKPOINTS["fast"])
    accurate = load_hamiltonian(SHIPPED_CHECKPOINTS["accurate"])
    assert {accurate.held_out.split(one["formula"]) for one in scores["crystals"]} == {"validation", "test"}
    assert accurate.ensemble is not None
    if accurate.ensemble.n_crystals != len(scores["crystals"]):
        said = f"The uncertainty was fitted to {accurate.ensemble.n_crystals} other crystals"
        assert said in (ROOT / "train" / "RESULTS.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["engine-gaps", "engine-gaps-all"])
def test_the_gaps_of_both_engines_are_those_of_the_files_that_ship(name: str) -> None:
    report, script = stored(name), load_script(ROOT / "tools" / "engine_gaps.py")
    for name, values in report["engines"].items():
        checkpoint = SHIPPED_CHECKPOINTS[name.removesuffix(" alone")]
        assert values["checkpoint_sha256"] == file_sha256(checkpoint), "a new engine ships: python tools/engine_gaps.py"
        for parts in (script.CLASSES[1:], script.SIZES):
            counted = sum(one["n_crystals"] for of, one in values["classes"].items() if of in parts)
            assert counted == values["classes"]["all"]["n_crystals"]
    alone, theirs = (report["engines"][name]["classes"] for name in ("accurate alone", "fast"))
    for name in ("with V to Ni", "with actinides"):
        assert alone[name]["gap_mae_ev"] > theirs[name]["gap_mae_ev"], "the page says why they are handed over"
    together = report["engines"]["accurate"]["classes"]
    assert together["others"]["gap_mae_ev"] < theirs["others"]["gap_mae_ev"]
    assert together["all"]["gap_mae_ev"] < theirs["all"]["gap_mae_ev"] + 0.02  # of 400 `fast` is a little ahead, the page says


def test_the_model_of_gaps_alone_was_tested_on_the_crystals_of_the_engines() -> None:
    script, baseline, engines = load_script(ROOT / "tools" / "engine_gaps.py"), stored("gap-baseline"), stored("engine-gaps")
    drawn = script.held_out(ROOT / "train" / "gaps" / baseline["table"], baseline["n_drawn"], baseline["max_atoms"])
    found = {one["id"]: one for one in baseline["crystals"]}
    known = {name: gap for name, _, gap in drawn if name in found}
    assert {name: one["gap_ev"] for name, one in found.items()} == known
    assert len(drawn) - len(known) == baseline["failed"] <= 5
    assert script.scores(drawn, [found[name]["found_ev"] if name in found else None for name, _, _ in drawn]) == {
        of: {name: pytest.approx(value, abs=2e-4) for name, value in means.items()} for of, means in baseline["classes"].items()
    }
    for values in engines["engines"].values():
        for of, means in values["classes"].items():
            for count in ("n_crystals", "n_non_metals"):
                assert 0 <= means[count] - baseline["classes"][of][count] <= baseline["failed"]


def test_the_gaps_of_all_crystals_are_those_of_the_test_split() -> None:
    report = stored("engine-gaps-all")
    drawn = load_script(ROOT / "tools" / "engine_gaps.py").held_out(ROOT / "train" / "gaps" / report["table"], 10_000, 10_000)
    assert len(drawn) == report["n_drawn"] == next(one for one in stored("test")["sets"] if one["kind"] == "gaps")["n_crystals"]
    for values in report["engines"].values():
        assert values["classes"]["all"]["n_crystals"] == len(drawn) - values["failed"]


def test_the_page_of_results_has_the_gaps_of_every_model() -> None:
    whole, some = (
        [engine["classes"] for engine in stored(name)["engines"].values()] for name in ("engine-gaps-all", "engine-gaps")
    )
    rows = block("train/RESULTS.md", "engine-gaps")
    wanted = [
        [of, str(means["n_crystals"]), str(means["n_non_metals"])]
        + [f"{one[of][field]:.3f}" for field in ("gap_mae_ev", "metal_accuracy") for one in models]
        for models in (whole, [*some, stored("gap-baseline")["classes"]])
        for of, means in models[0].items()
    ]
    assert [row for row in wanted if row not in rows] == []


@pytest.mark.parametrize("name", SCORES)
def test_the_errors_of_all_crystals_are_the_means_of_the_listed_ones(name: str) -> None:
    scores = stored(name)
    crystals, means = scores["crystals"], scores["classes"]
    assert len({one["id"] for one in crystals}) == len(crystals) == means["all"]["n_crystals"]
    assert sum(one["is_metal"] for one in crystals) == means["metals"]["n_crystals"]
    for chosen, listed in (("all", crystals), ("metals", [one for one in crystals if one["is_metal"]])):
        for field, column in (("energy_mae_ev", "energy_ev"), ("counted_mae_ev", "counted_ev")):
            assert means[chosen][field] == pytest.approx(sum(one[column] for one in listed) / len(listed), abs=1e-4)
        right = sum(one["is_metal"] == one["said_metal"] for one in listed) / len(listed)
        assert means[chosen]["metal_accuracy"] == pytest.approx(right)


def test_what_the_page_says_of_direct_or_indirect_is_so() -> None:
    own, other = (stored("accurate-held-out")["beside"][name] for name in ("own", "other"))
    assert own["all"]["direct_accuracy"] > own["all"]["indirect_share"] > other["all"]["direct_accuracy"]
    layers = own["layers, chains, molecules"]
    assert layers["direct_accuracy"] <= layers["indirect_share"]
    page = (ROOT / "docs" / "how-it-works" / "accuracy.md").read_text(encoding="utf-8")
    assert "`accurate` is better than that guess, `fast` is not" in page
    assert "For layers it is no better than the guess" in page


@pytest.mark.skipif("accurate-folds" not in SCORES, reason="no scores of folds are published")
def test_every_fold_is_a_model_of_its_own_and_not_the_shipped_one() -> None:
    members = stored("accurate-folds")["members"]
    assert len(set(members)) == len(members) > 1
    assert file_sha256(SHIPPED_CHECKPOINTS["accurate"]) not in members


def test_the_page_of_results_has_the_classes_of_both_engines_as_they_were_scored() -> None:
    beside = stored("accurate-held-out")["beside"]
    rows = {row[0]: row for row in reversed(block("train/RESULTS.md", "accurate"))}
    for name, own in beside["own"].items():
        other = beside["other"][name]
        assert int(rows[name][1]) == own["n_crystals"] == other["n_crystals"]
        expected = []
        for field in FIELDS:
            expected += [one[field] for one in ((own,) if field in ("counted_mae_ev", "indirect_share") else (own, other))]
        assert [cell.split()[0] for cell in rows[name][2:]] == ["-" if value is None else f"{value:.3f}" for value in expected]


@pytest.mark.skipif("accurate-folds" not in SCORES, reason="no scores of folds are published")
def test_the_page_of_results_has_the_classes_of_all_folds() -> None:
    rows = {row[0]: row for row in block("train/RESULTS.md", "accurate")}  # the second table is the last
    for name, means in stored("accurate-folds")["classes"].items():
        fields = [field for field in FIELDS if field in means]  # scores of earlier versions say nothing of direct gaps
        expected = ["-" if means[field] is None else f"{means[field]:.3f}" for field in fields]
        assert [int(rows[name][1]), *(cell.split()[0] for cell in rows[name][2:])] == [means["n_crystals"], *expected]


@pytest.mark.parametrize("name", SCORES)
def test_direct_or_indirect_is_counted_as_the_page_says(name: str) -> None:
    scores = stored(name)
    if "direct" not in scores:
        pytest.skip("these were scored before direct gaps were")
    rule, means = scores["direct"], scores["classes"]["all"]
    judged = [one for one in scores["crystals"] if one["direct_excess_ev"] is not None]
    assert (len(judged), rule["tolerance_ev"]) == (rule["n_judged"], SAME_EV)
    assert len(judged) + rule["n_not_judged"] == scores["classes"]["non-metals"]["n_crystals"]
    direct = [one["direct_excess_ev"] <= SAME_EV for one in judged]
    said = [None if one["said_metal"] else one["said_direct_excess_ev"] <= SAME_EV for one in judged]
    assert means["direct_accuracy"] == pytest.approx(sum(a == b for a, b in zip(direct, said, strict=True)) / len(judged))
    assert means["indirect_share"] == pytest.approx(1 - sum(direct) / len(judged))
    assert means["direct_gap_mae_ev"] == pytest.approx(sum(one["direct_gap_ev"] for one in judged) / len(judged), abs=1e-4)
    assert rule["n_decided_by_tolerance"] == sum(1e-4 < one["direct_excess_ev"] <= SAME_EV for one in judged)


def test_the_readme_says_by_how_much_the_accurate_engine_is_better() -> None:
    beside = stored("accurate-held-out")["beside"]
    own, other = beside["own"]["all"], beside["other"]["all"]
    rows = {row[0]: row[1:] for row in block("README.md", "engines")}
    for title, field in (("energy MAE, eV", "energy_mae_ev"), ("gap MAE of non-metals, eV", "gap_mae_ev")):
        assert [cell.split()[0] for cell in rows[title]] == [f"{own[field]:.3f}", f"{other[field]:.3f}"]
        assert 0.45 < own[field] / other[field] < 0.6, "the README says a little over half"
    assert "A little over half of the error" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_what_the_pages_call_hardly_known_is_rare_among_the_held_out_crystals() -> None:
    scores = stored("accurate-held-out")
    rare = [stored(name)["classes"]["with V to Ni"]["n_crystals"] for name in ("accurate-held-out", "accurate-folds")]
    assert rare == [14, 56]
    assert max(one["n_atoms"] for one in scores["crystals"]) <= 10
    assert load_hamiltonian(SHIPPED_CHECKPOINTS["accurate"]).training.max_atoms == 10
    for page in ("train/RESULTS.md", "docs/how-it-works/accuracy.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert "V to Ni" in text
        assert "14 held-out crystals" in text
        assert "56 " in text
        assert "above ten atoms" in text


def test_the_page_of_results_has_what_was_tried_with_the_accurate_engine() -> None:
    report = stored("tries")
    rows = {row[0]: row[1:] for row in block("train/RESULTS.md", "tries")}
    assert set(rows) == {"", "---", "as it was", *(one["what"] for one in report["tries"])}
    assert rows["as it was"][2] == f"{report['baseline']['counted_mae_ev']:.3f}"
    for one in report["tries"]:
        own = [run["counted_mae_ev"] for run in report["runs"] if run["try"] == one["name"]]
        before = [
            [run["counted_mae_ev"] for run in report["runs"] if run["try"] == "base" and run["member"] == seed % 2]
            for seed in one["seeds"]
        ]
        change, error = one["difference"]["counted_mae_ev"]
        assert change == pytest.approx(sum(own) / len(own) - sum(sum(of) / len(of) for of in before) / len(before), abs=2e-4)
        assert rows[one["what"]][2] == f"{change:+.3f} ± {error:.3f}"


def test_what_is_out_of_date_is_found_and_named(publish: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ROOT / "README.md"
    monkeypatch.setattr(publish, "published", lambda: {page: page.read_text(encoding="utf-8") + "new\n"})
    monkeypatch.setattr(publish.sys, "argv", ["published_tables.py", "--check"])
    assert publish.main() == 1
    assert not page.read_text(encoding="utf-8").endswith("new\n")


def test_the_page_of_results_has_the_curve_of_the_papers_model_as_it_was_measured() -> None:
    report = stored("learning-curve")
    rows = {row[0]: row[1:] for row in block("train/RESULTS.md", "curve")}
    sizes = [point["n_crystals"] for point in report["curve"]]
    assert sizes == sorted(sizes)
    assert sizes[-1] <= report["data"]["counts"]["train"]
    for point in report["curve"]:
        assert rows[f"{point['n_crystals']:,}"][2] == f"{point['test']['total']['energy_mae_ev']:.3f}"
    errors = [point["test"]["total"]["energy_mae_ev"] for point in report["curve"]]
    assert errors[-1] < 0.9 * errors[0]
