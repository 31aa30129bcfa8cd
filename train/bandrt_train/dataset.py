"""The data set on disk: features and targets of many crystals, in parts that are read one at a time.

A folder holds
    ``dataset.json``     format version, recipe (featurisation, bands, splits), counts, fingerprint of the labels,
    ``entries.jsonl``    one line per crystal, in order: id, formula, split, space group, path labels, how well it was mapped,
    ``refused.jsonl``    one line per document that could not be used: id, source, stage, code, message,
    ``part-00000.npz``…  so many crystals each; atoms of all crystals one after the other, ``atom_offsets`` says whose.
No pickles. An entry's split depends on its formula and the seed alone, so it stays where it is when the data grow.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.features import Features
from bandrt.files import replaced
from bandrt.kpath.path import KPath
from bandrt.manifest import BandRule, from_mapping
from bandrt.recipe import Recipe
from bandrt_train.targets import MappingReport, Targets

FORMAT_VERSION = 2
PART_SIZE = 512
"""Crystals in a part of a new data set."""
PARTS_IN_MEMORY = 64

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

ATOM_ARRAYS = ("atomic_numbers", "neighbor_index", "neighbor_distance", "neighbor_mask", "neighbor_image")
"""Fields of `Features` with one row per atom."""


@dataclass(frozen=True)
class SplitRule:
    """How formulas are dealt to the splits."""

    seed: int = 0
    validation: float = 0.1
    test: float = 0.1

    def split(self, formula: str) -> Split:
        """Where every crystal of a reduced formula goes, whatever else is in the data."""
        digest = hashlib.sha256(f"{self.seed}:{formula}".encode()).digest()
        share = int.from_bytes(digest[:8], "big") / 2**64
        if share < self.test:
            return "test"
        return "validation" if share < self.test + self.validation else "train"


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
    """SHA-256 over the labels used, whatever order they came in."""
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

    def __init__(self, folder: Path) -> None:
        """Open `folder`.

        Raises:
            InputError: ``not-a-dataset`` or ``dataset-version``.
        """
        self.folder = folder
        try:
            values = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
            lines = (folder / "entries.jsonl").read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise InputError("not-a-dataset", f"{folder}: not a data set ({error}); make one with: bandrt train dataset") from error
        if values.get("format_version") != FORMAT_VERSION:
            raise InputError(
                "dataset-version",
                f"{folder}: data set format {values.get('format_version')!r}, this bandrt reads {FORMAT_VERSION}; build it again",
            )
        self.header = from_mapping(DatasetHeader, values, source=str(folder / "dataset.json"))
        self.records: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self._part = lru_cache(maxsize=PARTS_IN_MEMORY)(self._read_part)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Entry:
        part, row = divmod(range(len(self))[index], self.header.part_size)
        return _unpack(self.records[index], self._part(part), row, self.header.recipe.featurization)

    def __iter__(self) -> Iterator[Entry]:
        return (self[i] for i in range(len(self)))

    def indices(self, split: Split) -> list[int]:
        """Which entries belong to a split, in order."""
        return [i for i, record in enumerate(self.records) if record["split"] == split]

    def split(self, split: Split) -> list[Entry]:
        """The entries of a split, in order."""
        return [self[i] for i in self.indices(split)]

    def refusals(self) -> list[Refusal]:
        """The documents that could not be used."""
        text = (self.folder / "refused.jsonl").read_text(encoding="utf-8")
        return [Refusal(**json.loads(line)) for line in text.splitlines()]

    def _read_part(self, part: int) -> Mapping[str, NDArray[Any]]:
        with np.load(self.folder / _part_name(part), allow_pickle=False) as arrays:
            return dict(arrays)


class DatasetWriter:
    """A data set folder being written; `close` makes it readable.

    Entries are held until a part is full, then written and forgotten.
    """

    def __init__(self, folder: Path, recipe: DatasetRecipe, *, part_size: int = PART_SIZE) -> None:
        """Start a data set.

        Raises:
            InputError: ``output-exists`` when the folder is not empty.
        """
        if folder.exists() and any(folder.iterdir()):
            raise InputError("output-exists", f"{folder}: is not empty; choose another folder or remove it")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.header = DatasetHeader(recipe, part_size=part_size)
        self.records: list[dict[str, Any]] = []
        self.refusals: list[Refusal] = []
        self._held: list[Entry] = []
        self._checksums: list[str] = []

    def add(self, entry: Entry) -> None:
        """Append one crystal."""
        self._held.append(entry)
        self._checksums.append(f"{entry.id}:{entry.document_sha256}")
        self.records.append(_record(entry))
        if len(self._held) == self.header.part_size:
            self._flush()

    def refuse(self, refusal: Refusal) -> None:
        """Remember a document that could not be used."""
        self.refusals.append(refusal)

    def close(self) -> Dataset:
        """Write what is left and the header, and open the result."""
        self._flush()
        counts: dict[str, int] = {split: sum(r["split"] == split for r in self.records) for split in SPLITS}
        fingerprint = hashlib.sha256("\n".join(sorted(self._checksums)).encode()).hexdigest()
        header = dataclasses.replace(
            self.header, n_entries=len(self.records), n_refused=len(self.refusals), counts=counts, fingerprint=fingerprint
        )
        _write_lines(self.folder / "entries.jsonl", self.records)
        _write_lines(self.folder / "refused.jsonl", [dataclasses.asdict(r) for r in self.refusals])
        with replaced(self.folder / "dataset.json") as file:
            json.dump(dataclasses.asdict(header), file, ensure_ascii=False, indent=1)
        return Dataset(self.folder)

    def _flush(self) -> None:
        if self._held:
            path = self.folder / _part_name((len(self.records) - 1) // self.header.part_size)
            with replaced(path, "wb") as file:
                np.savez_compressed(file, allow_pickle=False, **_pack(self._held))
            self._held.clear()


def _pack(entries: list[Entry]) -> dict[str, NDArray[Any]]:
    features = [entry.features for entry in entries]
    arrays = {name: np.concatenate([getattr(f, name) for f in features]) for name in ATOM_ARRAYS}
    arrays["frac_coords"] = np.concatenate([f.crystal.frac_coords for f in features])
    arrays["atom_offsets"] = np.cumsum([0, *(f.crystal.n_atoms for f in features)])
    arrays["lattice"] = np.stack([f.crystal.lattice for f in features])
    arrays["kpoints"] = np.stack([f.kpoints for f in features])
    arrays["frac_kpoints"] = np.stack([f.kpath.frac_kpoints for f in features])
    arrays["kpoint_distance"] = np.stack([f.kpath.kpoint_distance for f in features])
    arrays["band_energies"] = np.stack([entry.targets.energies for entry in entries])
    arrays["energy_mask"] = np.stack([entry.targets.mask for entry in entries])
    return arrays


def _record(entry: Entry) -> dict[str, Any]:
    """Everything about an entry that is not an array."""
    features, targets = entry.features, entry.targets
    return {
        "id": entry.id,
        "formula": entry.formula,
        "split": entry.split,
        "space_group": int(features.space_group),
        "space_group_symbol": features.space_group_symbol,
        "n_atoms": features.crystal.n_atoms,
        "path_labels": list(features.kpath.labels),
        "path_label_indices": [int(i) for i in features.kpath.label_indices],
        "is_metal": targets.is_metal,
        "band_gap_ev": targets.band_gap,
        "mapping": dataclasses.asdict(targets.report),
        "method": entry.method,
        "document_sha256": entry.document_sha256,
    }


def _unpack(record: dict[str, Any], arrays: Mapping[str, NDArray[Any]], row: int, recipe: Recipe) -> Entry:
    atoms = slice(*arrays["atom_offsets"][row : row + 2])
    atom_arrays = {name: arrays[name][atoms] for name in ATOM_ARRAYS}
    crystal = Crystal(arrays["lattice"][row], atom_arrays["atomic_numbers"], arrays["frac_coords"][atoms])
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
        from_mapping(MappingReport, record["mapping"], source=record["id"]),
    )
    return Entry(record["id"], record["formula"], record["split"], features, targets, record["method"], record["document_sha256"])


def _part_name(part: int) -> str:
    return f"part-{part:05d}.npz"


def _write_lines(path: Path, values: list[dict[str, Any]]) -> None:
    with replaced(path) as file:
        file.writelines(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
