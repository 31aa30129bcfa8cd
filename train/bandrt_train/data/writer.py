"""A data set folder being written, part by part, so that an interrupted build can go on.

Whenever a part is full its file is written, then the lines of its entries and refusals, then a milestone in ``parts.jsonl``. A
resumed build keeps the milestones whose part is intact and whose documents are still the first ones of its sources, and forgets the
rest: what it leaves is what a build from nothing leaves, byte for byte.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt import __version__
from bandrt.errors import OutputInTheWayError
from bandrt.files import TEMPORARY_SUFFIX, check_cleared, check_folder, clear, file_sha256, replaced
from bandrt.nested import differences
from bandrt_train.data.dataset import (
    ATOM_ARRAYS,
    FORMAT_VERSION,
    PART_SIZE,
    SPLITS,
    Dataset,
    DatasetHeader,
    DatasetRecipe,
    Entry,
    Refusal,
    fingerprint_of,
    part_name,
)

BUILD, MILESTONES, ENTRIES, REFUSED, HEADER = "build.json", "parts.jsonl", "entries.jsonl", "refused.jsonl", "dataset.json"


@dataclass(frozen=True)
class Milestone:
    """What there was when a part had been written."""

    documents: int
    """Documents read so far."""
    entries: int
    """Of which became entries,"""
    refused: int
    """and were refused."""
    digest: str
    """SHA-256 over the digest of the milestone before and the keys of the documents since, see `DatasetWriter.add`."""
    part_sha256: str
    """Checksum of the part's file, "" where refusals alone came after the last part."""


START = Milestone(0, 0, 0, "", "")


class DatasetWriter:
    """A data set folder being written; `close` makes it readable.

    Entries are held until a part is full, then written and forgotten.
    """

    def __init__(
        self, folder: Path, recipe: DatasetRecipe, *, part_size: int = PART_SIZE, resume: bool = False, overwrite: bool = False
    ) -> None:
        """Start a data set, where wanted in the place of an earlier one, or open one to go on with (then call `keep` first).

        Raises:
            OutputInTheWayError: ``output-foreign``, ``output-not-empty``, ``build-differs`` or ``output-not-a-folder``.
            OutputError: ``output-unwritable``.
        """
        self.folder = folder
        self.header = DatasetHeader(recipe, part_size=part_size)
        self._milestones: list[Milestone] = []
        self._digest = _after(START)
        self._n_documents = self._n_entries = self._n_refused = 0
        self._ids: set[str] = set()
        self._checksums: list[str] = []
        self._splits: Counter[str] = Counter()
        self._held: list[Entry] = []
        self._held_refusals: list[Refusal] = []
        build = {
            "format_version": FORMAT_VERSION,
            "bandrt": __version__,
            "part_size": part_size,
            "recipe": dataclasses.asdict(recipe),
        }
        check_folder(folder)
        self._made = not folder.exists()
        self._build, self._begun, self._goes_on = build, True, resume
        self.forgotten: frozenset[str] = frozenset()
        """Ids and checksums of an earlier build of which nothing is kept, see `keep`."""
        if folder.exists() and any(folder.iterdir()):
            begun = _begun(folder)
            if resume:
                _require_same(folder, begun, build)
                self._milestones = [Milestone(**values) for values in _whole_lines(folder / MILESTONES)]
                self._begun = False  # as below
                return
            if not overwrite:
                raise OutputInTheWayError(
                    "output-not-empty", f"{folder}: is not empty; add --resume to go on, or --overwrite to start again"
                )
            check_cleared(folder, _is_ours)
            self._begun = False  # what is there is deleted when there is something to take its place
            return
        self._begin()

    def __contains__(self, identifier: object) -> bool:
        """Whether there is an entry of this id."""
        return identifier in self._ids

    def keep(self, documents: Iterable[str]) -> int:
        """Keep what an earlier build made of the first documents, and forget what does not belong to them.

        What is forgotten stays on disk until there is something to take its place: a first new entry, or the end of the build.

        Args:
            documents: the key of every document there is now, in order, see `add`; read as far as needed.

        Returns:
            How many of them are dealt with.
        """
        documents, kept, whole = iter(documents), START, list[Milestone]()
        for milestone in self._milestones:
            digest = _after(kept)
            for key in islice(documents, milestone.documents - kept.documents):
                digest.update(key.encode())
            if digest.hexdigest() != milestone.digest or not self._is_intact(len(whole), milestone, kept):
                break
            kept = milestone
            whole.append(milestone)
        if whole and kept.entries != len(whole) * self.header.part_size and next(documents, None) is not None:
            whole.pop()  # the last part was not full, and there is more now
        self._restore(whole)
        return self._last.documents

    def add(self, entry: Entry, document: str = "") -> None:
        """Append one crystal.

        Args:
            entry: the crystal.
            document: key of the document it comes from: what must be the same for a resumed build to keep it.
        """
        self._take_place()
        self._count(document)
        self._held.append(entry)
        self._remember(_record(entry))
        if len(self._held) == self.header.part_size:
            self._flush()

    def refuse(self, refusal: Refusal, document: str = "") -> None:
        """Remember a document, of this key, that could not be used."""
        self._count(document)
        self._n_refused += 1
        self._held_refusals.append(refusal)

    def close(self) -> Dataset:
        """Write what is left and the header, and open the result."""
        self._take_place()
        if self._n_documents != self._last.documents or not self._milestones:
            self._flush()
        header = dataclasses.replace(
            self.header,
            n_entries=self._n_entries,
            n_refused=self._n_refused,
            counts={split: self._splits[split] for split in SPLITS},
            fingerprint=fingerprint_of(self._checksums, self.header.recipe.splits),
        )
        with replaced(self.folder / HEADER) as file:
            json.dump(dataclasses.asdict(header), file, ensure_ascii=False, indent=1)
        return Dataset(self.folder)

    def abandon(self) -> None:
        """Delete what there is of the data set, and the folder if it was made for it; an earlier one stays."""
        if not self._begun:
            return
        for path in self.folder.iterdir():
            if _is_ours(path.relative_to(self.folder)):
                path.unlink()
        if self._made:
            self.folder.rmdir()

    def _take_place(self) -> None:
        """Delete what an earlier build left and this one does not keep, before the first that this one writes."""
        if self._begun:
            return
        if self._goes_on:
            self._go_back()
        else:
            clear(self.folder)
            self._begin()

    def _begin(self) -> None:
        """Make the folder, and say what is built in it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with replaced(self.folder / BUILD) as file:
            json.dump(self._build, file, ensure_ascii=False, indent=1)
        self._begun = True

    @property
    def empty(self) -> bool:
        """Whether no document has become an entry."""
        return self._n_entries == 0

    @property
    def _last(self) -> Milestone:
        return self._milestones[-1] if self._milestones else START

    def _count(self, document: str) -> None:
        self._n_documents += 1
        self._digest.update(document.encode())

    def _remember(self, record: dict[str, Any]) -> None:
        self._n_entries += 1
        self._ids.add(record["id"])
        self._splits[record["split"]] += 1
        self._checksums.append(f"{record['id']}:{record['document_sha256']}")

    def _flush(self) -> None:
        checksum = ""
        if self._held:
            path = self.folder / part_name((self._n_entries - 1) // self.header.part_size)
            with replaced(path, "wb") as file:
                np.savez_compressed(file, allow_pickle=False, **_pack(self._held))
            checksum = file_sha256(path)
        _append_lines(self.folder / ENTRIES, [_record(entry) for entry in self._held])
        _append_lines(self.folder / REFUSED, [dataclasses.asdict(refusal) for refusal in self._held_refusals])
        milestone = Milestone(self._n_documents, self._n_entries, self._n_refused, self._digest.hexdigest(), checksum)
        _append_lines(self.folder / MILESTONES, [dataclasses.asdict(milestone)])
        self._milestones.append(milestone)
        self._digest = _after(milestone)
        self._held.clear()
        self._held_refusals.clear()

    def _is_intact(self, part: int, milestone: Milestone, before: Milestone) -> bool:
        if milestone.entries == before.entries:
            return True
        path = self.folder / part_name(part)
        return path.is_file() and file_sha256(path) == milestone.part_sha256

    def _restore(self, milestones: list[Milestone]) -> None:
        """Go on after the last of `milestones`, or from nothing where the lines before it are not whole; nothing is written."""
        last = milestones[-1] if milestones else START
        entries, refused = self._lines_until(last)
        if (len(entries), len(refused)) != (last.entries, last.refused):
            milestones, last, entries = [], START, []
        for record in entries:
            self._remember(record)
        self._milestones, self._digest = milestones, _after(last)
        self._n_documents, self._n_refused = last.documents, last.refused
        if last == START:
            before = _whole_lines(self.folder / ENTRIES)
            self.forgotten = frozenset(str(record.get(key, "")) for record in before for key in ("id", "document_sha256")) - {""}

    def _go_back(self) -> None:
        """Make the folder hold what the milestones say, and nothing else."""
        (self.folder / HEADER).unlink(missing_ok=True)
        last = self._last
        entries, refused = self._lines_until(last)
        _write_lines(self.folder / MILESTONES, [dataclasses.asdict(milestone) for milestone in self._milestones])
        _write_lines(self.folder / ENTRIES, entries)
        _write_lines(self.folder / REFUSED, refused)
        known = {part_name(part) for part in range(-(-last.entries // self.header.part_size))}
        for path in [*self.folder.glob("part-*.npz"), *self.folder.glob(f".*{TEMPORARY_SUFFIX}")]:
            if path.name not in known:
                path.unlink()
        self._begun = True

    def _lines_until(self, milestone: Milestone) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Of entries and of refusals, as many as there were, or all where fewer are whole."""
        entries, refused = _whole_lines(self.folder / ENTRIES), _whole_lines(self.folder / REFUSED)
        return list(islice(entries, milestone.entries)), list(islice(refused, milestone.refused))


def _after(milestone: Milestone) -> hashlib._Hash:
    """The digest of the documents that follow, none so far."""
    return hashlib.sha256(milestone.digest.encode())


def _is_ours(path: Path) -> bool:
    """Whether a path inside a data set is one that a writer makes."""
    return len(path.parts) == 1 and (path.name in (BUILD, MILESTONES, ENTRIES, REFUSED, HEADER) or path.match("part-*.npz"))


def _begun(folder: Path) -> dict[str, Any]:
    """What a data set was begun with.

    Raises:
        OutputInTheWayError: ``output-foreign`` where none was begun.
    """
    try:
        found = json.loads((folder / BUILD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _foreign(folder) from error
    if not isinstance(found, dict) or not {"recipe", "format_version"} & found.keys():
        raise _foreign(folder)
    return found


def _foreign(folder: Path) -> OutputInTheWayError:
    message = f"{folder}: is not empty and no data set of bandrt (it has no {BUILD} of ours); choose another folder"
    return OutputInTheWayError("output-foreign", message)


def _require_same(folder: Path, found: dict[str, Any], build: dict[str, Any]) -> None:
    """Make sure that going on in a folder means going on with the same.

    Raises:
        OutputError: ``build-differs``.
    """
    if unlike := differences(found if isinstance(found, dict) else {"": found}, json.loads(json.dumps(build))):
        name, before, now = min(unlike)
        raise OutputInTheWayError(
            "build-differs",
            f"{folder}: was begun with {name} = {before!r}, now it is {now!r};"
            " resume with the same options or choose another folder",
        )


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file up to the first that was cut."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:
                return


def _write_lines(path: Path, values: list[dict[str, Any]]) -> None:
    with replaced(path) as file:
        file.writelines(_line(value) for value in values)


def _append_lines(path: Path, values: list[dict[str, Any]]) -> None:
    """Add lines to a file and make sure that they are on disk."""
    with path.open("a", encoding="utf-8", newline="", errors="backslashreplace") as file:
        file.writelines(_line(value) for value in values)
        file.flush()
        os.fsync(file.fileno())


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _pack(entries: list[Entry]) -> dict[str, NDArray[Any]]:
    features = [entry.features for entry in entries]
    arrays = {name: _joined([getattr(f, name) for f in features]) for name in ATOM_ARRAYS}
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
        "weight": targets.weight,
        "mapping": dataclasses.asdict(targets.report),
        "method": entry.method,
        "document_sha256": entry.document_sha256,
    }


def _joined(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """Rows of all arrays one after the other; where their second axes differ, the shorter are filled with zeros (False)."""
    if arrays[0].ndim == 1:
        return np.concatenate(arrays)
    width = max(array.shape[1] for array in arrays)
    fill = [[(0, 0), (0, width - array.shape[1]), *[(0, 0)] * (array.ndim - 2)] for array in arrays]
    return np.concatenate([np.pad(array, pads) for array, pads in zip(arrays, fill, strict=True)])
