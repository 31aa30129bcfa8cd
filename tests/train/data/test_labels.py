"""The open labels: every shard is what its name says, and every crystal is there once."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from pathlib import Path

from bandrt.computed.documents import DocumentText, parse_document

KEYS = {"id", "formula", "band_gap_ev", "is_metal_label", "n_electrons", "n_occupied", "method", "geometry", "structure"}


def test_a_shard_is_named_after_its_text(labels: Path) -> None:
    shards = sorted(labels.glob("*.jsonl.gz"))
    assert shards
    for shard in shards:
        digest = hashlib.sha256(gzip.decompress(shard.read_bytes())).hexdigest()
        assert shard.name == f"dft-pbe-{digest[:12]}.jsonl.gz"


def test_every_id_is_there_once_with_all_that_the_readme_promises(labels: Path) -> None:
    ids: Counter[str] = Counter()
    for shard in sorted(labels.glob("*.jsonl.gz")):
        for line in gzip.decompress(shard.read_bytes()).decode().splitlines():
            document = json.loads(line)
            assert not KEYS - set(document), document["id"]
            ids[document["id"]] += 1
    assert [i for i, n in ids.items() if n > 1] == []


def test_every_label_that_was_made_is_here(shared: Path, labels: Path) -> None:
    here = {
        json.loads(line)["id"] for shard in labels.glob("*.jsonl.gz") for line in gzip.decompress(shard.read_bytes()).splitlines()
    }
    made = {path.name.removesuffix(".json.gz") for path in (shared / "data" / "dft-pbe" / "bands").glob("*.json.gz")}
    assert made
    assert made <= here, f"put into a shard: {sorted(made - here)}"


def test_what_a_label_says_of_itself_follows_from_its_bands(label_texts: list[DocumentText]) -> None:
    for text in label_texts[::4]:
        document = parse_document(text)
        low, high = document.energies[0].min(axis=1), document.energies[0].max(axis=1)
        crossed = bool(((low < document.efermi - 1e-4) & (high > document.efermi + 1e-4)).any())
        assert crossed == document.is_metal
        if not crossed:
            n = document.n_occupied
            assert n == int((high < document.efermi).sum())
            assert low[n] - high[n - 1] > (document.band_gap or 0.0) - 0.05  # the label's gap is over the whole mesh too
