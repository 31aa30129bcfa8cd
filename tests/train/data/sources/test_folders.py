"""Band data are found in a fixed order, and what is damaged is named while the rest is read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from bandrt.computed.documents import DocumentText, parse_document
from bandrt.errors import InputError, NotFoundError
from bandrt_train.data.sources.folders import count_documents, find_documents
from tests.support.band_documents import read_documents


def test_documents_are_found_in_files_folders_and_lines(tmp_path: Path, label_texts: list[DocumentText]) -> None:
    first, second, third = (t.text for t in label_texts[:3])
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "one.json").write_text(first, encoding="utf-8")
    (tmp_path / "two.json.gz").write_bytes(gzip.compress(second.encode()))
    (tmp_path / "lines.jsonl.gz").write_bytes(gzip.compress(f"{third.strip()}\n\n{first}".encode()))
    (tmp_path / "notes.txt").write_text("not a document", encoding="utf-8")
    expected = [parse_document(label_texts[i]).id for i in (0, 2, 0, 1)]
    assert [d.id for d in read_documents(tmp_path)] == expected
    assert [d.id for d in read_documents(tmp_path / "two.json.gz")] == expected[3:]


def test_a_document_without_an_id_is_called_after_its_file(tmp_path: Path, label_texts: list[DocumentText]) -> None:
    values = {key: value for key, value in json.loads(label_texts[0].text).items() if key != "id"}
    (tmp_path / "Si_bands.json").write_text(json.dumps(values), encoding="utf-8")
    assert [d.id for d in read_documents(tmp_path)] == ["Si_bands"]


def test_an_empty_or_missing_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no band documents") as empty:
        list(find_documents([tmp_path]))
    assert empty.value.code == "no-input"
    with pytest.raises(NotFoundError, match=r"nowhere\.json: no such file") as lost:
        list(find_documents([tmp_path / "nowhere.json"]))
    assert lost.value.code == "file-not-found"


def test_documents_are_counted_without_parsing_them(tmp_path: Path, label_texts: list[DocumentText]) -> None:
    for name in ("a.json", "b.json", ".hidden.json", "failed.jsonl"):
        (tmp_path / name).write_text(label_texts[0].text, encoding="utf-8")
    assert count_documents([tmp_path, tmp_path / "a.json"]) == 3
    (tmp_path / "lines.jsonl").write_text(f"{label_texts[0].text}\n\nno document\n", encoding="utf-8")
    assert count_documents([tmp_path]) == len(list(find_documents([tmp_path]))) == 4


def test_a_truncated_file_is_refused_and_the_next_one_read(tmp_path: Path, label_texts: list[DocumentText]) -> None:
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(label_texts[0].text.encode())[:-100])
    (tmp_path / "b.json").write_text(label_texts[1].text, encoding="utf-8")
    broken, whole = find_documents([tmp_path])
    with pytest.raises(InputError, match=r"a\.json\.gz: cannot be read") as caught:
        broken.read()
    assert caught.value.code == "malformed"
    assert whole.read().document.id == parse_document(label_texts[1]).id


def test_a_damaged_line_is_refused_and_the_next_one_read(tmp_path: Path, label_texts: list[DocumentText]) -> None:
    first, second = (label_texts[i].text.strip().encode() for i in (0, 1))
    (tmp_path / "lines.jsonl").write_bytes(b"\n".join([first[:200], b'{"\xff": 1}', b"[1, 2]", second]))
    *broken, whole = find_documents([tmp_path])
    for number, source in enumerate(broken, start=1):
        with pytest.raises(InputError, match=rf"lines\.jsonl:{number}: ") as caught:
            source.read()
        assert caught.value.code == "malformed"
    assert whole.read().document.id == parse_document(label_texts[1]).id


def test_the_lines_before_the_end_of_a_truncated_archive_are_read(tmp_path: Path, label_texts: list[DocumentText]) -> None:
    text = "".join(t.text.strip() + "\n" for t in label_texts[:8])
    (tmp_path / "lines.jsonl.gz").write_bytes(gzip.compress(text.encode())[:-2000])
    *whole, broken = find_documents([tmp_path])
    assert [source.read().document.id for source in whole] == [parse_document(t).id for t in label_texts[: len(whole)]]
    assert len(whole) >= 6
    with pytest.raises(InputError, match="cannot be read"):
        broken.read()


def test_the_checksum_of_a_document_is_that_of_its_text_whatever_file_it_lies_in(
    tmp_path: Path, label_texts: list[DocumentText]
) -> None:
    text = label_texts[0].text.strip()
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "c.jsonl").write_text(text + "\n", encoding="utf-8")
    sources = list(find_documents([tmp_path]))
    assert {source.read().sha256 for source in sources} == {label_texts[0].sha256}
    before = [source.stamp() for source in sources]
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(label_texts[1].text.encode()))
    assert [was == source.stamp() for was, source in zip(before, sources, strict=True)] == [True, False, True]
