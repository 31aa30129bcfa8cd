"""The data set on disk: features and targets of many crystals, in parts that are read one at a time.

A folder holds
    ``dataset.json``     format version, recipe (featurisation, bands, splits), counts, fingerprint; written last,
    ``entries.jsonl``    one line per crystal, in order: id, formula, split, space group, path labels, how well it was mapped,
    ``refused.jsonl``    one line per document that could not be used: id, source, stage, code, message,
    ``part-00000.npz``…  so many crystals each, see below,
    ``build.json``       what the folder is built with, and ``parts.jsonl``, one line per part: how many documents, entries and
                         refusals there were when it was whole, a digest of those documents, the checksum of its file: what an
                         interrupted build needs to go on (see `bandrt_train.data.writer`).
No pickles. An entry's split depends on its formula and the seed alone, so it stays where it is when the data grow.

Arrays of a part of C crystals with A atoms in all, D neighbour slots, K k-points and B bands, in the order of ``entries.jsonl``:
    ``atom_offsets (C + 1,)``  crystal c has the atoms from ``atom_offsets[c]`` up to ``atom_offsets[c + 1]``,
    ``atomic_numbers (A,)``, ``frac_coords (A, 3)``, ``neighbor_index (A, D)``, ``neighbor_distance (A, D)`` Å,
    ``neighbor_mask (A, D)``, ``neighbor_image (A, D, 3)``, ``lattice (C, 3, 3)`` Å, ``kpoints (C, K, 3)`` in the recipe's frame,
    ``frac_kpoints (C, K, 3)``, ``kpoint_distance (C, K)`` 1/Å, ``band_energies (C, B, K)`` eV, ``energy_mask (C, B, K)``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bandrt.arguments import check_choice, checked_number, checked_whole, not_allowed
from bandrt.contract import GRAPH_INPUTS, TENSORS
from bandrt.crystal import Crystal
from bandrt.errors import BandrtError, InputError, NotFoundError, reason_of
from bandrt.features import Features
from bandrt.kpaths.path import KPath
from bandrt.manifest import BandRule, Splits, TrainingDomain
from bandrt.recipe import Recipe
from bandrt.typed_values import from_mapping
from bandrt_train.data.targets import MappingReport, Targets

FORMAT_VERSION = 2
PART_SIZE = 32
"""Crystals in a part of a new data set: what an interrupted build may have to do again."""
PARTS_IN_MEMORY = 1024

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

RECORD_KEYS = tuple(
    "id formula split space_group space_group_symbol n_atoms path_labels path_label_indices is_metal band_gap_ev mapping method"
    " document_sha256".split()
)
"""What every line of ``entries.jsonl`` says."""
ATOM_ARRAYS = tuple(name for name in GRAPH_INPUTS if "N" in TENSORS[name].dims and name != "atom_mask")
"""Fields of `Features` with one row per atom, but for the mask, which without padding says nothing."""


@dataclass(frozen=True)
class SplitRule:
    """How formulas are dealt to the splits."""

    seed: int = 0
    validation: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            checked_number(name, getattr(self, name), at_least=0.0, at_most=1.0)
        if self.validation + self.test > 1.0:
            raise not_allowed("validation and test", f"{self.validation} and {self.test}", "no more than 1 together")

    @classmethod
    def of(cls, training: TrainingDomain, *, name: str = "the model") -> SplitRule:
        """The rule of what a model was trained on; where it does not say, that of all trainings before they said it.

        Args:
            training: what it was trained on.
            name: what to call the model in an error.

        Raises:
            BandrtError: ``fold-held-out`` where it held out a fold, and so learned what all splits hold out.
        """
        if training.fold is not None:
            raise BandrtError(
                "fold-held-out",
                f"{name}: was trained with one of {training.fold.n_folds} folds held out (--folds), not with the splits that are"
                " needed here, of which it may have learned any formula; give a model that was trained without --folds",
            )
        return cls() if training.splits is None else cls(**dataclasses.asdict(training.splits))

    @property
    def said(self) -> Splits:
        """The same as a manifest says it."""
        return Splits(self.seed, float(self.validation), float(self.test))

    def split(self, formula: str) -> Split:
        """Where every crystal of a reduced formula goes, whatever else is in the data."""
        share = share_of(formula, self.seed)
        if share < self.test:
            return "test"
        return "validation" if share < self.test + self.validation else "train"


def share_of(formula: str, seed: int) -> float:
    """A number from 0 up to, not including, 1 by which a reduced formula is dealt: it never changes."""
    digest = hashlib.sha256(f"{seed}:{formula}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def fingerprint_of(labels: Iterable[str], rule: SplitRule) -> str:
    """What tells whether two data sets have the same labels, and hold out the same of them.

    Args:
        labels: of each, its id and the checksum of its document.
        rule: how formulas are dealt. By default it leaves no trace, so that fingerprints from before it did stay what they were.
    """
    fingerprint = hashlib.sha256("\n".join(sorted(labels)).encode()).hexdigest()
    if rule == SplitRule():
        return fingerprint
    dealt = f"{fingerprint}:{rule.seed}:{float(rule.validation)}:{float(rule.test)}"
    return hashlib.sha256(dealt.encode()).hexdigest()


@dataclass(frozen=True)
class DatasetRecipe:
    """Everything that decides what a document becomes."""

    featurization: Recipe = field(default_factory=Recipe)
    bands: BandRule = field(default_factory=BandRule)
    splits: SplitRule = field(default_factory=SplitRule)
    min_mapped_fraction: float = 0.5
    """Documents that cover less of the path are refused."""
    max_symmetry_spread_ev: float = 0.05
    """Documents whose bands differ by more at equivalent k-points are refused: theirs is another symmetry than the one found."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One crystal with its labels.

    Attributes:
        id: identifier, unique in the data set.
        formula: reduced formula.
        split: where it belongs.
        features: what an engine is fed.
        targets: what it should answer.
        method: how the labels were computed.
        document_sha256: checksum of the document they come from.
    """

    id: str
    formula: str
    split: Split
    features: Features
    targets: Targets
    method: str
    document_sha256: str


@dataclass(frozen=True)
class Refusal:
    """A document that could not be used, and why."""

    id: str
    source: str
    stage: str
    code: str
    message: str


@dataclass(frozen=True)
class DatasetHeader:
    """What ``dataset.json`` says about the whole."""

    recipe: DatasetRecipe
    n_entries: int = 0
    n_refused: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """Crystals per split."""
    fingerprint: str = ""
    """See `fingerprint_of`; whatever order the labels came in."""
    part_size: int = PART_SIZE
    """Crystals in every part but the last."""
    format_version: int = FORMAT_VERSION


class Dataset:
    """A data set folder, opened for reading.

    Attributes:
        folder: where it is.
        header: what it holds.
        records: one mapping per entry, the lines of ``entries.jsonl``.
    """

    def __init__(self, folder: Path, n_training: int | None = None) -> None:
        """Open `folder`.

        Args:
            folder: where it is.
            n_training: keep so many crystals of the training split, chosen by a number that follows from their ids alone, so that
                fewer are always among more; None: all of them. The others are in no split.

        Raises:
            NotFoundError: ``dataset-not-found``.
            InputError: ``not-a-dataset``, ``dataset-version`` or ``dataset-damaged``.
            ManifestError: ``manifest-invalid`` for a header that says what none says.
            ArgumentError: ``bad-argument`` for fewer than one, or more than there are.
        """
        self.folder = folder
        self.n_training = n_training
        if not folder.exists():
            raise NotFoundError("dataset-not-found", f"{folder}: there is no such data set; make one with: bandrt train dataset")
        try:
            values = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
            text = (folder / "entries.jsonl").read_text(encoding="utf-8")
            version = values["format_version"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                "not-a-dataset", f"{folder}: not a data set ({reason_of(error)}); make one with: bandrt train dataset"
            ) from error
        if version != FORMAT_VERSION:
            raise InputError(
                "dataset-version",
                f"{folder}: data set format {version!r}, this bandrt reads {FORMAT_VERSION}; build it again",
            )
        self.header = from_mapping(DatasetHeader, values, name=str(folder / "dataset.json"))
        self.records = _records(text, self.header, folder / "entries.jsonl")
        self._part = lru_cache(maxsize=PARTS_IN_MEMORY)(self._read_part)
        self._left_out: frozenset[int] = frozenset()
        if n_training is not None:
            self._leave_out(n_training)

    def _leave_out(self, n_training: int) -> None:
        training = sorted(self.indices("train"), key=lambda i: share_of(str(self.records[i]["id"]), 0))
        n_training = checked_whole("n_training", n_training, at_least=1, at_most=len(training))
        self._left_out = frozenset(training[n_training:])
        if self._left_out:
            fingerprint = hashlib.sha256(f"{self.header.fingerprint}:{n_training}".encode()).hexdigest()
            self.header = replace(self.header, counts=self.header.counts | {"train": n_training}, fingerprint=fingerprint)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def order_sha256(self) -> str:
        """What tells whether entries of one fingerprint stand in the same order, in parts of one size: it decides what is drawn."""
        order = json.dumps([self.header.part_size, [record["id"] for record in self.records]])
        return hashlib.sha256(order.encode()).hexdigest()

    def __getitem__(self, index: int) -> Entry:
        part, row = divmod(range(len(self))[index], self.header.part_size)
        entry = _unpack(self.records[index], self._part(part), row, self.header.recipe.featurization)
        if entry.formula != (found := entry.features.crystal.hill_formula):
            path = self.folder / part_name(part)
            raise _damaged(path, f"it holds {found} where entries.jsonl has {entry.formula}, {entry.id}")
        return entry

    def __iter__(self) -> Iterator[Entry]:
        return (self[i] for i in range(len(self)))

    def indices(self, split: Split) -> list[int]:
        """Which entries belong to a split, in order.

        Raises:
            ArgumentError: ``bad-argument`` for a split that is none.
        """
        check_choice("split", split, Split)
        return [i for i, record in enumerate(self.records) if record["split"] == split and i not in self._left_out]

    def split(self, split: Split) -> list[Entry]:
        """The entries of a split, in order."""
        return [self[i] for i in self.indices(split)]

    def refusals(self) -> list[Refusal]:
        """The documents that could not be used."""
        with (self.folder / "refused.jsonl").open(encoding="utf-8") as lines:
            return [Refusal(**json.loads(line)) for line in lines]

    def _read_part(self, part: int) -> Mapping[str, NDArray[Any]]:
        path = self.folder / part_name(part)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = dict(archive)
            found = len(arrays["atom_offsets"]) - 1
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise _damaged(path, f"cannot be read ({reason_of(error)})", how="--resume") from error
        wanted = min(self.header.part_size, len(self) - part * self.header.part_size)
        if found != wanted:
            raise _damaged(path, f"holds {found} crystals, not {wanted}", how="--resume")
        return arrays


def _damaged(path: Path, problem: str, *, how: Literal["--resume", "--overwrite"] = "--overwrite") -> InputError:
    """What to raise; to go on is enough where a checksum tells the damage."""
    return InputError("dataset-damaged", f"{path}: {problem}; build it again with {how}")


def _records(text: str, header: DatasetHeader, path: Path) -> list[dict[str, Any]]:
    """The lines of ``entries.jsonl``, as many of each split as the header says.

    Raises:
        InputError: ``dataset-damaged``.
    """
    try:
        records = [json.loads(line) for line in text.split("\n")[:-1]]
        found = Counter(record["split"] for record in records)
        missing = next((name for record in records for name in RECORD_KEYS if name not in record), None)
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"cannot be read ({reason_of(error)})") from error
    if missing is not None:
        raise _damaged(path, f"a line says no {missing!r}")
    for split in SPLITS:
        if found[split] != header.counts.get(split, 0):
            raise _damaged(
                path, f"has {found[split]} crystals of the {split} split, and dataset.json says {header.counts.get(split, 0)}"
            )
    if len(records) != header.n_entries:
        raise _damaged(path, f"has {len(records)} crystals, and dataset.json says {header.n_entries}")
    return records


def _unpack(record: dict[str, Any], arrays: Mapping[str, NDArray[Any]], row: int, recipe: Recipe) -> Entry:
    atoms = slice(*arrays["atom_offsets"][row : row + 2])
    atom_arrays = {name: arrays[name][atoms] for name in ATOM_ARRAYS}
    crystal = Crystal.unchecked(arrays["lattice"][row], atom_arrays["atomic_numbers"], arrays["frac_coords"][atoms])
    kpath = KPath(
        recipe.kpath.scheme,
        arrays["frac_kpoints"][row],
        arrays["kpoint_distance"][row],
        tuple(record["path_labels"]),
        np.array(record["path_label_indices"], dtype=np.int64),
    )
    features = Features(
        crystal=crystal,
        space_group=record["space_group"],
        space_group_symbol=record["space_group_symbol"],
        atom_mask=np.ones(crystal.n_atoms, dtype=bool),
        kpath=kpath,
        kpoints=arrays["kpoints"][row],
        **atom_arrays,
    )
    targets = Targets(
        arrays["band_energies"][row],
        arrays["energy_mask"][row],
        record["is_metal"],
        record["band_gap_ev"],
        from_mapping(MappingReport, record["mapping"], name=record["id"]),
        record.get("weight", record.get("gap_weight", 1.0)),  # older data sets have it of gaps alone, or none
    )
    return Entry(record["id"], record["formula"], record["split"], features, targets, record["method"], record["document_sha256"])


def part_name(part: int) -> str:
    """The file of a part."""
    return f"part-{part:05d}.npz"
