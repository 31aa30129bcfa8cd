"""Band structures of the Materials Project, downloaded with the user's own key through `mp-api`.

A folder holds ``ids.txt``, what was asked for, ``scheme.txt``, whose lines, ``<id>.json.gz``, a pymatgen `BandStructureSymmLine`
document with its structure for each that is there, without projections, and ``failed.jsonl``, one line for each that the last run
could not get. A document is whole or absent. Running again fetches what is absent and nothing else.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from bandrt.arguments import check_choice
from bandrt.errors import BandrtError, MissingPackageError, OutputInTheWayError, UsageError
from bandrt.files import check_folder, first_foreign, replaced, require_there

DownloadScheme = Literal["setyawan_curtarolo", "latimer_munro", "hinuma"]
"""Whose lines the Materials Project computed."""
DEFAULT_SCHEME: DownloadScheme = "setyawan_curtarolo"
IDS, SCHEME, FAILED, DOCUMENT = "ids.txt", "scheme.txt", "failed.jsonl", ".json.gz"
"""Files of a folder; a document is called by its id."""
ID = re.compile(r"(mp|mvc)-[0-9a-z]+")
METHOD = "DFT, Materials Project"
MAX_FAILURES_IN_A_ROW = 20
"""After so many the service is out of reach or has had enough of us."""
NO_BANDS, FAILURE = "no-band-structure", "download-failed"


class Client(Protocol):
    """What is used of `mp_api.client.MPRester`."""

    materials: Any

    def get_bandstructure_by_material_id(self, material_id: str, path_type: Any = ..., line_mode: bool = ...) -> Any:
        """A pymatgen band structure; raises when there is none."""


@dataclass(frozen=True)
class SearchCriteria:
    """Which crystals are asked for: all that have a band structure and meet what is given."""

    elements: tuple[str, ...] = ()
    """Elements that are all in the crystal."""
    chemical_system: str | None = None
    """Elements that are all of the crystal, such as ``Ga-As``."""
    max_atoms: int | None = None
    """Atoms in the cell."""
    magnetic: bool = False
    """Whether to ask for magnetic crystals too; their bands with spin do not train."""


@dataclass(frozen=True)
class FailedDownload:
    """A band structure that could not be had, and why."""

    id: str
    code: str
    message: str


@dataclass(frozen=True)
class DownloadReport:
    """How far a download is."""

    total: int
    kept: int
    """On disk before."""
    fetched: int
    failed: int

    @property
    def done(self) -> int:
        """Dealt with."""
        return self.kept + self.fetched + self.failed


def open_client(key: str) -> Client:
    """Open `mp_api` with the user's key.

    Raises:
        MissingPackageError: without `mp-api`.
        BandrtError: ``materials-project-refused`` when the key or the connection is no good.
    """
    try:
        from mp_api.client import MPRester
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "mp-api", "mp", "downloading from the Materials Project") from error
    try:
        client: Client = MPRester(key, mute_progress_bars=True)
    except Exception as error:  # whatever the service or the net has against it
        raise BandrtError("materials-project-refused", f"the Materials Project cannot be reached with this key: {error}") from error
    return client


def search(client: Client, criteria: SearchCriteria, limit: int | None = None) -> list[str]:
    """Ask which crystals there are, in the order of their numbers, at most `limit`.

    Raises:
        BandrtError: ``materials-project-refused``.
    """
    wanted: dict[str, Any] = {"has_props": ["bandstructure"], "fields": ["material_id"], "all_fields": False}
    if criteria.elements:
        wanted["elements"] = list(criteria.elements)
    if criteria.chemical_system:
        wanted["chemsys"] = criteria.chemical_system
    if criteria.max_atoms:
        wanted["num_sites"] = (1, criteria.max_atoms)
    if not criteria.magnetic:
        from pymatgen.analysis.magnetism.analyzer import Ordering

        wanted["magnetic_ordering"] = Ordering.NM
    try:
        found = client.materials.summary.search(**wanted)
    except Exception as error:  # whatever the service or the net has against it
        raise BandrtError("materials-project-refused", f"the Materials Project did not answer the search: {error}") from error
    ids = sorted({str(document.material_id) for document in found}, key=lambda i: (len(i), i))
    return ids[:limit]


def read_ids(file: Path) -> list[str]:
    """The ids in a file, one a line or separated by white space or commas, each once; what follows ``#`` is a remark.

    Raises:
        NotFoundError: ``file-not-found``.
        BandrtError: ``bad-id``.
    """
    lines = (line.split("#")[0] for line in require_there(file).read_text(encoding="utf-8").splitlines())
    ids = list(dict.fromkeys(word for line in lines for word in line.replace(",", " ").split()))
    wrong = next((i for i in ids if not ID.fullmatch(i)), None)
    if wrong is not None:
        raise BandrtError("bad-id", f"{file}: {wrong!r} is not an id of the Materials Project, such as mp-149")
    return ids


def remembered_ids(folder: Path) -> list[str]:
    """What an earlier download into a folder was asked for.

    Raises:
        UsageError: ``nothing-to-resume``.
    """
    if not (folder / IDS).is_file():
        raise UsageError("nothing-to-resume", f"{folder}: no download was begun here; say what to fetch")
    return read_ids(folder / IDS)


def scheme_of(folder: Path, wanted: DownloadScheme | None) -> DownloadScheme:
    """Whose lines are fetched into a folder: those that are in it, else those that are wanted, or the default.

    Raises:
        OutputInTheWayError: ``other-scheme``, where others are in it than are wanted, or it is not known which.
    """
    try:
        found = (folder / SCHEME).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        if wanted is not None and any(folder.glob(f"*{DOCUMENT}")):
            raise OutputInTheWayError(
                "other-scheme",
                f"{folder}: does not say whose lines its documents have, as it has no {SCHEME}; choose another folder",
            ) from None
        return wanted or DEFAULT_SCHEME
    known = next((scheme for scheme in get_args(DownloadScheme) if scheme == found), None)
    if known is None or wanted not in (None, known):
        raise OutputInTheWayError(
            "other-scheme",
            f"{folder}: holds band structures on the lines of {found[:40]!r}, not of {wanted or DEFAULT_SCHEME}; lines of one kind"
            " make a data set: choose another folder",
        )
    chosen: DownloadScheme = known
    return chosen


def check_download_folder(folder: Path) -> None:
    """Refuse a folder that documents cannot be written to, or that holds other things; changes nothing.

    Raises:
        OutputError: ``output-not-a-folder``, ``output-unwritable`` or ``output-foreign``.
    """
    check_folder(folder)
    if (foreign := first_foreign(folder, _is_ours)) is not None:
        raise OutputInTheWayError("output-foreign", f"{folder}: holds {foreign}, which no download wrote; choose another folder")


def _is_ours(path: Path) -> bool:
    """Whether a path inside a folder is one that a download writes."""
    is_document = path.name.endswith(DOCUMENT) and ID.fullmatch(path.name.removesuffix(DOCUMENT)) is not None
    return len(path.parts) == 1 and (path.name in (IDS, SCHEME, FAILED) or is_document)


def download(
    ids: Sequence[str],
    folder: Path,
    client: Client,
    *,
    scheme: DownloadScheme | None = None,
    on_progress: Callable[[DownloadReport], None] | None = None,
) -> DownloadReport:
    """Fetch the band structures of `ids` that are not in `folder` yet; what cannot be had is recorded and the next one tried.

    Args:
        ids: of the Materials Project.
        folder: for the documents.
        client: see `open_client`.
        scheme: whose lines; None goes on with those of the folder, or takes `DEFAULT_SCHEME`.
        on_progress: told after every one how far it is.

    Raises:
        OutputInTheWayError: ``other-scheme``.
        BandrtError: ``materials-project-refused`` after `MAX_FAILURES_IN_A_ROW`.
    """
    if scheme is not None:
        check_choice("scheme", scheme, DownloadScheme)
    scheme = scheme_of(folder, scheme)
    folder.mkdir(parents=True, exist_ok=True)
    with replaced(folder / SCHEME) as file:
        file.write(f"{scheme}\n")
    with replaced(folder / IDS) as file:
        file.writelines(f"{identifier}\n" for identifier in ids)
    absent = [identifier for identifier in ids if not document_path(folder, identifier).is_file()]
    kept, failed, in_a_row = len(ids) - len(absent), 0, 0
    with (folder / FAILED).open("w", encoding="utf-8", errors="backslashreplace") as failures:
        for n, identifier in enumerate(absent, start=1):
            failure = _fetch(identifier, folder, client, scheme)
            if failure is not None:
                failed += 1
                failures.write(json.dumps(asdict(failure), ensure_ascii=False) + "\n")
                failures.flush()
            in_a_row = in_a_row + 1 if failure is not None and failure.code == FAILURE else 0
            if on_progress is not None:
                on_progress(DownloadReport(len(ids), kept, n - failed, failed))
            if failure is not None and in_a_row == MAX_FAILURES_IN_A_ROW:
                raise BandrtError(
                    "materials-project-refused",
                    f"{in_a_row} downloads failed in a row, the last with: {failure.message};"
                    " what was fetched is kept: run again later",
                )
    return DownloadReport(len(ids), kept, len(absent) - failed, failed)


def failed_downloads(folder: Path) -> list[FailedDownload]:
    """What the last download into a folder could not get."""
    with (folder / FAILED).open(encoding="utf-8") as lines:
        return [FailedDownload(**json.loads(line)) for line in lines]


def document_path(folder: Path, identifier: str) -> Path:
    """Where the document of an id is kept."""
    return folder / f"{identifier}{DOCUMENT}"


def _fetch(identifier: str, folder: Path, client: Client, scheme: DownloadScheme) -> FailedDownload | None:
    try:
        bands = client.get_bandstructure_by_material_id(identifier, path_type=scheme, line_mode=True)
    except Exception as error:  # whatever the service or the net has against it
        message = " ".join(str(error).split()) or repr(error)
        # mp-api has one error for all; what is not there it says so
        absent = type(error).__name__ == "MPRestError" and re.match(r"No .*found", message)
        return FailedDownload(identifier, NO_BANDS if absent else FAILURE, message)
    values = bands.as_dict()
    if not values.get("branches") or bands.structure is None:
        return FailedDownload(identifier, NO_BANDS, "the document holds no lines, or no structure")
    values.pop("projections", None)
    values |= {"structure": bands.structure.as_dict(), "id": identifier, "material_id": identifier, "method": METHOD}
    text = json.dumps(values, default=_plain)  # as_dict leaves the structure out of bands without projections
    with replaced(document_path(folder, identifier), "wb") as file:
        file.write(gzip.compress(text.encode(), mtime=0))
    return None


def _plain(value: Any) -> Any:
    """What JSON can say of a NumPy array or number."""
    return value.tolist()
