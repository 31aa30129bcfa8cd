"""Downloads go on where they stopped, fetch nothing twice, record what failed, and leave what `train dataset` reads."""

from __future__ import annotations

import inspect
import json
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

import bandrt_train.cli.download as download_cli
from bandrt.computed.documents import DocumentText, parse_document
from bandrt.errors import BandrtError, MissingPackageError, OutputInTheWayError, UsageError
from bandrt.recipe import KpathRecipe, Recipe
from bandrt_train.cli.group import group
from bandrt_train.data.builder import build_dataset
from bandrt_train.data.dataset import DatasetRecipe
from bandrt_train.data.sources.folders import find_documents
from bandrt_train.data.sources.materials_project import (
    MAX_FAILURES_IN_A_ROW,
    DownloadReport,
    FailedDownload,
    SearchCriteria,
    download,
    failed_downloads,
    open_client,
    read_ids,
    remembered_ids,
    scheme_of,
    search,
)

NOT_THERE = "No setyawan_curtarolo band structure data found for mp-3"


class MPRestError(Exception):
    """Called as `mp_api` calls its own."""


@dataclass
class StandIn:
    """Serves pymatgen band structures as `MPRester` does; some are not there, and some fail for a while."""

    texts: dict[str, str]
    failing: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    searched: list[dict[str, Any]] = field(default_factory=list)

    @property
    def materials(self) -> Any:
        return SimpleNamespace(summary=SimpleNamespace(search=self._search))

    def get_bandstructure_by_material_id(self, material_id: str, path_type: Any = None, line_mode: bool = False) -> Any:
        assert (path_type, line_mode) == ("setyawan_curtarolo", True)
        self.asked.append(material_id)
        if material_id in self.failing:
            raise self.failing[material_id]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pymatgen.electronic_structure.bandstructure import BandStructureSymmLine

            return BandStructureSymmLine.from_dict(json.loads(self.texts[material_id]))

    def _search(self, **wanted: Any) -> list[Any]:
        self.searched.append(wanted)
        return [SimpleNamespace(material_id=i) for i in reversed(self.texts)]


@pytest.fixture
def client(label_texts: list[DocumentText]) -> StandIn:
    good = [t.text for t in label_texts[:20] if json.loads(t.text)["n_occupied"] >= 3]
    return StandIn({f"mp-{n}": text for n, text in enumerate(good[:4], start=1)} | {"mp-10": good[4]})


def test_what_is_fetched_is_what_the_builder_reads(client: StandIn, tmp_path: Path) -> None:
    reports: list[DownloadReport] = []
    done = download(list(client.texts), tmp_path / "mp", client, on_progress=reports.append)
    assert done == reports[-1] == DownloadReport(total=5, kept=0, fetched=5, failed=0)
    assert [report.done for report in reports] == [1, 2, 3, 4, 5]
    sources = list(find_documents([tmp_path / "mp"]))
    assert [source.id for source in sources] == ["mp-1", "mp-10", "mp-2", "mp-3", "mp-4"]
    for source in sources:
        document, oracle = source.read().document, parse_document(DocumentText("one", "one", client.texts[source.id]))
        assert (document.id, document.method) == (source.id, "DFT, Materials Project")
        assert (document.energies == oracle.energies).all()
        assert (document.frac_kpoints == oracle.frac_kpoints).all()
        assert document.branches.tolist() == oracle.branches.tolist()
        assert document.crystal is not None
    built = build_dataset([tmp_path / "mp"], tmp_path / "data", DatasetRecipe(Recipe(kpath=KpathRecipe(n_kpoints=32))))
    assert sorted(record["id"] for record in built.records) == sorted(client.texts)


def test_a_second_run_fetches_what_is_missing_and_nothing_twice(client: StandIn, tmp_path: Path) -> None:
    client.failing = {"mp-2": ConnectionError("too many requests"), "mp-3": MPRestError(NOT_THERE)}
    ids = list(client.texts)
    assert download(ids, tmp_path, client) == DownloadReport(total=5, kept=0, fetched=3, failed=2)
    assert failed_downloads(tmp_path) == [
        FailedDownload("mp-2", "download-failed", "too many requests"),
        FailedDownload("mp-3", "no-band-structure", NOT_THERE),
    ]
    client.failing.pop("mp-2")
    client.asked.clear()
    assert download(remembered_ids(tmp_path), tmp_path, client) == DownloadReport(total=5, kept=3, fetched=1, failed=1)
    assert client.asked == ["mp-2", "mp-3"]
    assert [failure.id for failure in failed_downloads(tmp_path)] == ["mp-3"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_run_leaves_whole_documents(stop: type[BaseException], client: StandIn, tmp_path: Path) -> None:
    class Stopped(stop):  # type: ignore[misc, valid-type]
        pass

    def interrupt(state: DownloadReport) -> None:
        if state.done == 3:
            raise Stopped

    with pytest.raises(Stopped):
        download(list(client.texts), tmp_path, client, on_progress=interrupt)
    assert [source.read().document.id for source in find_documents([tmp_path])] == ["mp-1", "mp-2", "mp-3"]
    client.asked.clear()
    assert download(remembered_ids(tmp_path), tmp_path, client).fetched == 2
    assert client.asked == ["mp-4", "mp-10"]


def test_a_service_that_keeps_failing_is_left_alone(client: StandIn, tmp_path: Path) -> None:
    ids = [f"mp-{n}" for n in range(100)]
    client.failing = {i: ConnectionError("429: slow down") for i in ids}
    with pytest.raises(BandrtError, match="429: slow down") as caught:
        download(ids, tmp_path, client)
    assert caught.value.code == "materials-project-refused"
    assert len(client.asked) == len(failed_downloads(tmp_path)) == MAX_FAILURES_IN_A_ROW
    client.failing = {i: MPRestError("No band structure data found") for i in ids}
    assert download(ids, tmp_path, client).failed == len(ids)


def test_bands_that_are_not_along_lines_or_lack_a_structure_are_recorded(client: StandIn, tmp_path: Path) -> None:
    values = json.loads(client.texts["mp-1"])
    client.texts["mp-1"] = json.dumps({key: value for key, value in values.items() if key != "structure"})
    assert download(["mp-1"], tmp_path, client).failed == 1
    assert [failure.code for failure in failed_downloads(tmp_path)] == ["no-band-structure"]
    assert list(tmp_path.glob("*.gz")) == []


def test_a_search_asks_for_crystals_with_bands_and_without_moments(client: StandIn) -> None:
    assert search(client, SearchCriteria(("Ga", "As"), "Ga-As", 30), limit=3) == ["mp-1", "mp-2", "mp-3"]
    [wanted] = client.searched
    assert wanted["magnetic_ordering"].value == "NM"
    wanted.pop("magnetic_ordering")
    assert wanted == {
        "has_props": ["bandstructure"],
        "fields": ["material_id"],
        "all_fields": False,
        "elements": ["Ga", "As"],
        "chemsys": "Ga-As",
        "num_sites": (1, 30),
    }
    assert search(client, SearchCriteria(magnetic=True))[-1] == "mp-10"
    assert "magnetic_ordering" not in client.searched[-1]


def test_what_is_asked_exists_in_mp_api() -> None:
    pytest.importorskip("mp_api")
    from mp_api.client import MPRester
    from mp_api.client.routes.materials.summary import SummaryRester

    inspect.signature(MPRester).bind("key", mute_progress_bars=True)
    inspect.signature(MPRester.get_bandstructure_by_material_id).bind(
        None, "mp-149", path_type="setyawan_curtarolo", line_mode=True
    )
    names = ("has_props", "fields", "all_fields", "elements", "chemsys", "num_sites", "magnetic_ordering")
    assert set(names) <= set(inspect.signature(SummaryRester.search).parameters)


def test_without_mp_api_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mp_api", "mp_api.client"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError, match=r"bandrt\[mp\]"):
        open_client("key")


def test_ids_are_read_with_remarks_and_wrong_ones_named(tmp_path: Path) -> None:
    file = tmp_path / "ids.txt"
    file.write_text("mp-149  # silicon\n\nmp-2534, mp-149\nmp-abcdefgh\n", encoding="utf-8")
    assert read_ids(file) == ["mp-149", "mp-2534", "mp-abcdefgh"]
    file.write_text("mp-149\n../../etc/passwd\n", encoding="utf-8")
    with pytest.raises(BandrtError, match=r"'\.\./\.\./etc/passwd' is not an id"):
        read_ids(file)
    with pytest.raises(UsageError, match="no download was begun"):
        remembered_ids(tmp_path / "nowhere")


@pytest.fixture
def served(client: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.setattr(download_cli, "open_client", lambda key: client if key == "secret" else pytest.fail(key))
    monkeypatch.delenv("MP_API_KEY", raising=False)
    return client


def test_the_command_downloads_and_goes_on_without_a_selection(served: StandIn, tmp_path: Path) -> None:
    served.failing = {"mp-2": ConnectionError("slow down")}
    (tmp_path / "key").write_text("secret\n", encoding="utf-8")
    folder = tmp_path / "mp"
    first = CliRunner().invoke(
        group, ["download", "-o", str(folder), "--all", "--key-file", str(tmp_path / "key")], standalone_mode=False
    )
    assert first.return_value == 3
    assert "4 of 5 band structures" in first.output
    assert "1 download-failed, such as mp-2: slow down" in first.output
    served.failing = {}
    again = CliRunner().invoke(group, ["download", "-o", str(folder)], env={"MP_API_KEY": "secret"}, standalone_mode=False)
    assert again.return_value == 0
    assert f"5 of 5 band structures in {folder}, 1 of them new" in again.output
    assert not [path for path in folder.iterdir() if b"secret" in path.read_bytes()]


@pytest.mark.parametrize(
    ("arguments", "reason"), [(["--all"], "a key is needed"), (["--all", "--elements", "Si"], "exclude each other")]
)
def test_the_command_says_what_it_needs(arguments: list[str], reason: str, served: StandIn, tmp_path: Path) -> None:
    result = CliRunner().invoke(group, ["download", "-o", str(tmp_path / "mp"), *arguments])
    assert (result.exit_code, reason in result.output) == (2, True)
    assert served.asked == []


def test_one_folder_holds_lines_of_one_scheme(client: StandIn, tmp_path: Path) -> None:
    assert scheme_of(tmp_path, None) == "setyawan_curtarolo"
    assert scheme_of(tmp_path, "hinuma") == "hinuma"
    download(list(client.texts), tmp_path, client)
    assert scheme_of(tmp_path, None) == scheme_of(tmp_path, "setyawan_curtarolo") == "setyawan_curtarolo"
    with pytest.raises(OutputInTheWayError, match="on the lines of 'setyawan_curtarolo', not of hinuma") as caught:
        download(list(client.texts), tmp_path, client, scheme="hinuma")
    assert caught.value.code == "other-scheme"
    (tmp_path / "scheme.txt").unlink()
    with pytest.raises(OutputInTheWayError, match="does not say whose lines"):
        scheme_of(tmp_path, "hinuma")
