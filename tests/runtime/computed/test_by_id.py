"""Documents of crystals by their ids, inside or as names of files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bandrt.computed.by_id import documents_of
from bandrt.computed.documents import DocumentText
from bandrt.errors import ArgumentError, InputError, NotFoundError


@pytest.fixture
def texts(label_texts: list[DocumentText]) -> list[dict[str, object]]:
    """Three documents, as JSON."""
    return [json.loads(one.text) for one in label_texts[:3]]


def test_documents_are_found_by_their_ids_in_lines_and_files(texts: list[dict[str, object]], tmp_path: Path) -> None:
    ids = [str(one["id"]) for one in texts]
    (tmp_path / "some.jsonl").write_text("\n".join(json.dumps(one) for one in texts[:2]) + "\nno JSON\n", encoding="utf-8")
    (tmp_path / "last.json").write_text(json.dumps(texts[2]), encoding="utf-8")
    found = documents_of(tmp_path, [ids[2], "other", ids[0]])
    assert {id: document.id for id, document in found.items()} == {ids[2]: ids[2], ids[0]: ids[0]}


@pytest.mark.parametrize("name", ["salt.json", "salt_bandstructure.json"])
def test_a_document_may_be_called_by_the_name_of_its_file(name: str, texts: list[dict[str, object]], tmp_path: Path) -> None:
    (tmp_path / name).write_text(json.dumps(texts[0]), encoding="utf-8")
    (tmp_path / "other.json").write_text(json.dumps(texts[1]), encoding="utf-8")
    assert documents_of(tmp_path, ["salt", "pepper"])["salt"].id == texts[0]["id"]


def test_a_single_document_goes_with_a_single_crystal(texts: list[dict[str, object]], tmp_path: Path) -> None:
    (tmp_path / "any.json").write_text(json.dumps(texts[0]), encoding="utf-8")
    assert list(documents_of(tmp_path / "any.json", ["salt"])) == ["salt"]
    with pytest.raises(InputError) as error:
        documents_of(tmp_path / "any.json", ["salt", "pepper"])
    assert error.value.code == "no-reference"


def test_a_document_that_is_wanted_has_to_be_whole(texts: list[dict[str, object]], tmp_path: Path) -> None:
    (tmp_path / "salt.json").write_text("{", encoding="utf-8")
    (tmp_path / "other.json").write_text(json.dumps(texts[1]), encoding="utf-8")
    assert list(documents_of(tmp_path, [str(texts[1]["id"]), "pepper"])) == [texts[1]["id"]]
    with pytest.raises(InputError) as error:
        documents_of(tmp_path, ["salt", "pepper"])
    assert error.value.code == "malformed"


def test_where_nothing_is_there_is_nothing_to_find(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        documents_of(tmp_path / "none", ["a", "b"])
    with pytest.raises(InputError) as error:
        documents_of(tmp_path, ["a", "b"])
    assert error.value.code == "no-input"


def test_ids_are_a_list_of_texts(texts: list[dict[str, object]], tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_text(json.dumps(texts[0]), encoding="utf-8")
    for wrong in ("abc", [1, 2]):
        with pytest.raises(ArgumentError):
            documents_of(tmp_path, wrong)  # type: ignore[arg-type]
