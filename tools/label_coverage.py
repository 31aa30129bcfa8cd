"""Write what the open labels and gaps cover into `train/labels/README.md`: ``python tools/label_coverage.py [--check]``.

Shards are added to `train/labels` without this page being made again. So the page names the shards that it counts: they are counted
again by ``--check``, while writing counts all that are there.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bandrt.domain import OPEN_D_SHELL
from bandrt.elements import SYMBOLS
from bandrt.features import featurize
from bandrt.files import replaced
from bandrt.readers.documents import crystal_of_document
from bandrt_train.data.composition import elements_of
from bandrt_train.evaluation.hamiltonian.classes import ALL, CLASSES, classes_by
from bandrt_train.evaluation.markdown import replace_block
from bandrt_train.evaluation.tables import markdown_table
from bandrt_train.model.hamiltonian.atoms import LANTHANIDE_ROW

ROOT = Path(__file__).resolve().parents[1]
LABELS, GAPS = ROOT / "train" / "labels", ROOT / "train" / "gaps"
PAGE, BLOCK = LABELS / "README.md", "coverage"
GAP_TABLES = ("materials-project.csv.gz", "materials-project-2018.csv.gz")
FEW_ATOMS = 10
"""Atoms of a cell, of which gaps are learned by the engine `accurate`; labels have no more."""
_SHARD = re.compile(r"dft-pbe-([0-9a-f]{12})\.jsonl\.gz")
_WHOLE_CELL = re.compile(r"^_chemical_formula_sum\s+'?([A-Za-z0-9 ]+)'?$", re.MULTILINE)


@dataclass(frozen=True)
class Covered:
    """A labelled crystal.

    Attributes:
        id: of the label.
        classes: see `bandrt_train.evaluation.hamiltonian.classes`.
        elements: symbols.
    """

    id: str
    classes: frozenset[str]
    elements: frozenset[str]


@dataclass(frozen=True)
class CoveredGap:
    """A crystal of which the gap alone is known.

    Attributes:
        elements: symbols.
        n_atoms: of its cell as the table has it.
        is_metal: whether its gap is 0.
        weight: what it counts, 1 where nothing is said.
    """

    elements: frozenset[str]
    n_atoms: int
    is_metal: bool
    weight: float


def shards_there() -> list[str]:
    """The hashes of all shards, ascending."""
    return sorted(found[1] for path in LABELS.iterdir() if (found := _SHARD.fullmatch(path.name)))


def shards_named(page: str) -> list[str]:
    """The hashes of the shards that a page counts."""
    counted = re.search(r"^Counted: (.+)$", page, re.MULTILINE)
    return [] if counted is None else re.findall(r"`([0-9a-f]{12})`", counted[1])


def labels_of(shards: Sequence[str]) -> Iterator[Covered]:
    """The labelled crystals of some shards."""
    for shard in shards:
        with gzip.open(LABELS / f"dft-pbe-{shard}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for values in map(json.loads, lines):
                features = featurize(crystal_of_document(values["structure"], name=values["id"]))
                symbols = frozenset(SYMBOLS[number] for number in features.crystal.atomic_numbers.tolist())
                yield Covered(values["id"], classes_by(features, is_metal=values["is_metal_label"]), symbols)


def gaps_of(table: str) -> Iterator[CoveredGap]:
    """The crystals of a table of gaps; its cells are not read but for how many atoms they have."""
    with gzip.open(GAPS / table, "rt", encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            cell = _WHOLE_CELL.search(row["cif"])
            assert cell is not None, row["material_id"]
            n_atoms = sum(int(amount) for amount in re.findall(r"[A-Z][a-z]?(\d+)", cell[1]))
            is_metal, weight = float(row["band_gap_pbe_ev"]) == 0.0, float(row.get("weight") or 1.0)
            yield CoveredGap(frozenset(elements_of(cell[1])), n_atoms, is_metal, weight)


def class_table(labels: Sequence[Covered]) -> str:
    """How many labels there are of each class, and how many metals among them."""
    rows = []
    for name in CLASSES:
        of = [one for one in labels if name in one.classes]
        n_metals = sum("metals" in one.classes for one in of)
        rows.append((name, str(len(of)), str(n_metals), str(len(of) - n_metals)))
    return markdown_table(("", "labels", "metals", "non-metals"), rows)


def element_lines(labels: Sequence[Covered], gaps: Sequence[CoveredGap]) -> list[str]:
    """How many labels each element is in, and the elements that gaps alone know."""
    counts = Counter(symbol for one in labels for symbol in one.elements)
    others = Counter(symbol for one in gaps for symbol in one.elements if symbol not in counts)
    shown = (", ".join(f"{symbol} {some[symbol]}" for symbol in SYMBOLS if some[symbol]) for some in (counts, others))
    text, alone = shown
    return [
        f"Labels of each of the {len(counts)} elements: {text}.",
        f"Gaps of each of the {len(others)} elements that have no label: {alone}." if others else "No other element has a gap.",
    ]


def gap_table(tables: dict[str, list[CoveredGap]]) -> str:
    """What the tables of gaps hold."""
    magnetic, lanthanides = ({SYMBOLS[number] for number in row} for row in (OPEN_D_SHELL, LANTHANIDE_ROW))
    rows = [
        (
            f"`{name}`",
            *(
                str(sum(test))
                for test in (
                    [True for _ in known],
                    [one.is_metal for one in known],
                    [bool(one.elements & magnetic) for one in known],
                    [bool(one.elements & lanthanides) for one in known],
                    [one.n_atoms <= FEW_ATOMS for one in known],
                )
            ),
            f"{sum(one.weight for one in known) / len(known):.2f}",
        )
        for name, known in tables.items()
    ]
    header = ("", "gaps", "metals", "with V to Ni", "with lanthanides", f"up to {FEW_ATOMS} atoms", "mean weight")
    return markdown_table(header, rows)


def page(shards: Sequence[str]) -> str:
    """What the page must say of some shards and of the gaps."""
    labels = list(labels_of(shards))
    tables = {name: list(gaps_of(name)) for name in GAP_TABLES}
    n_all = sum(ALL in one.classes for one in labels)
    parts = [
        f"{n_all} labels in {len(shards)} shard{'s' if len(shards) > 1 else ''}, by class of crystals as `bandrt train hamiltonian"
        " score` tells them apart, made by `tools/label_coverage.py`. Shards that were added since are not counted.",
        f"Counted: {', '.join(f'`{shard}`' for shard in shards)}.",
        class_table(labels),
        *element_lines(labels, [one for known in tables.values() for one in known]),
        "Crystals of which the gap alone is known, in [gaps](../gaps/README.md):",
        gap_table(tables),
    ]
    return replace_block(PAGE.read_text(encoding="utf-8"), BLOCK, "\n\n".join(parts))


def main() -> int:
    """Write or check; 1 when the page does not say what it must."""
    check, before = sys.argv[1:] == ["--check"], PAGE.read_text(encoding="utf-8")
    text = page(shards_named(before) if check else shards_there())
    if text == before:
        return 0
    sys.stderr.write(f"{PAGE.relative_to(ROOT)} {'is out of date' if check else 'written'}\n")
    if not check:
        with replaced(PAGE) as file:
            file.write(text)
    return int(check)


if __name__ == "__main__":
    sys.exit(main())
