"""From band data, or a table of gaps, to a data set: in one process or several, and on from where an earlier build stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol, TypedDict, TypeVar, Unpack

from bandrt.computed.documents import DocumentText
from bandrt.computed.files import BandSource
from bandrt.computed.lines import document_crystal
from bandrt.errors import InputError, OutputInTheWayError
from bandrt.features import Features, featurize_cell, featurize_crystal
from bandrt.files import require_there
from bandrt.run.workers import WorkerPool
from bandrt.symmetry.standard_cell import standardize
from bandrt_train.data.dataset import PART_SIZE, Dataset, DatasetRecipe, Entry, Refusal
from bandrt_train.data.gap_labels import METHOD, find_gaps, gap_targets, parse_gap
from bandrt_train.data.sources.folders import count_documents, find_documents
from bandrt_train.data.sources.released_file import find_released, make_released_entry, released_featurization
from bandrt_train.data.targets import Targets, make_targets
from bandrt_train.data.writer import DatasetWriter
from bandrt_train.model.released.config import Conventions

AHEAD = 8
"""Documents that wait for each worker process: what is held in memory."""
ADVICE = "what was built is kept: go on with --resume --workers 1"
"""What to do when a worker died."""


class DocumentSource(Protocol):
    """What one entry is made from."""

    @property
    def name(self) -> str:
        """Where it is."""

    @property
    def id(self) -> str:
        """What to call it."""

    def stamp(self) -> str:
        """What tells whether this is still the same source."""


AnySource = TypeVar("AnySource", bound=DocumentSource)
Made = tuple[str, str, Entry | Refusal]
"""Where a document was, its key in `DatasetWriter.add`, and what it became."""


@dataclass(frozen=True)
class BuildReport:
    """How far a build is."""

    documents: int
    """Dealt with, those of an earlier build included."""
    kept: int
    """Of an earlier build."""
    refused: int
    """By this build."""
    total: int | None
    """Documents there are, if that is known."""


class BuildOptions(TypedDict, total=False):
    """How any data set is built; see `build` for what is left out."""

    workers: int
    """Processes."""
    resume: bool
    """Go on in the folder; the result is that of a build from nothing. What is there stays until a first entry is added to it."""
    overwrite: bool
    """Delete an earlier data set in the folder, once a first entry can take its place."""
    part_size: int
    """Crystals in a part."""
    on_progress: Callable[[BuildReport], None] | None
    """Told after every document how far the build is."""


def build_dataset(
    sources: Sequence[Path],
    folder: Path,
    recipe: DatasetRecipe,
    **how: Unpack[BuildOptions],
) -> Dataset:
    """Turn every document under `sources` into an entry or a refusal.

    Args:
        sources: files and folders, see `bandrt_train.data.sources.folders`; of several documents with one id the first is used.
        folder: the data set to write, new or empty.
        recipe: what becomes of a document.
        how: see `BuildOptions`.

    Raises:
        NotFoundError: ``file-not-found``.
        BandrtError: ``output-in-source``, ``no-input``, or what `build` raises.
    """
    for source in sources:
        if source.is_dir() and folder.resolve().is_relative_to(source.resolve()):
            raise OutputInTheWayError(
                "output-in-source", f"{folder}: lies among the sources, in {source}; choose a folder elsewhere"
            )
    make = partial(make_entry, recipe=recipe)
    return build(lambda: find_documents(sources), make, folder, recipe, total=count_documents(sources), **how)


def build_gap_dataset(
    tables: Sequence[Path],
    folder: Path,
    recipe: DatasetRecipe,
    **how: Unpack[BuildOptions],
) -> Dataset:
    """Turn every row of tables of gaps (see `gap_labels`) into an entry that labels no band, or a refusal.

    Formulas go to the same splits as in a data set of bands with the same rule, whichever table they are in. Of several rows of one
    id the first is used.

    Raises:
        NotFoundError: ``file-not-found``.
        BandrtError: what `build` raises.
    """
    for table in tables:
        require_there(table)
    make = partial(make_gap_entry, recipe=recipe)
    total = sum(1 for _ in find_gaps(*tables))
    return build(lambda: find_gaps(*tables), make, folder, recipe, total=total, **how)


def build_released_dataset(
    file: Path,
    folder: Path,
    recipe: DatasetRecipe,
    conventions: Conventions,
    **how: Unpack[BuildOptions],
) -> Dataset:
    """Turn every item of a data set file of the released code into an entry without a crystal, or a refusal.

    The graphs and k-points are those of the file, whatever `recipe` says of featurisation; see `sources.released_file`.
    """
    recipe = replace(recipe, featurization=released_featurization(file, conventions))
    make = partial(make_released_entry, recipe=recipe, conventions=conventions)
    return build(lambda: find_released(file), make, folder, recipe, **how)


def build(
    find: Callable[[], Iterator[AnySource]],
    make: Callable[[AnySource], Entry | Refusal],
    folder: Path,
    recipe: DatasetRecipe,
    *,
    workers: int = 1,
    resume: bool = False,
    overwrite: bool = False,
    part_size: int = PART_SIZE,
    total: int | None = None,
    on_progress: Callable[[BuildReport], None] | None = None,
) -> Dataset:
    """Make an entry or a refusal of everything that `find` yields, always in the same order.

    Args:
        find: opens the stream of sources; called again to go on after what is kept.
        make: what becomes of one, a function that worker processes can be handed.
        folder: see `build_dataset`, like what follows.
        recipe: what is written down as what `make` follows.
        workers: processes.
        resume: go on in `folder`.
        overwrite: delete an earlier data set in it.
        part_size: crystals in a part.
        total: how many sources there are, if that is known.
        on_progress: told after every one.

    Raises:
        InputError: ``no-input`` if nothing becomes an entry; then none is left, and an earlier one stays as it is.
        OutputInTheWayError: ``build-differs`` if a data set to go on with has none of these documents.
        BandrtError: ``worker-died``, or what `find` and `DatasetWriter` raise.
    """
    writer = DatasetWriter(folder, recipe, part_size=part_size, resume=resume, overwrite=overwrite)
    kept = writer.keep(_key(source) for source in find()) if resume else 0
    foreign = bool(writer.forgotten) and not any({source.id, source.stamp()} & writer.forgotten for source in find())
    n_refused, first = 0, ""
    with WorkerPool(workers if workers > 1 else 0, ahead=AHEAD, advice=ADVICE) as pool:
        new = pool.map(partial(_make_one, make=make), islice(find(), kept, None))
        for n, (name, key, made) in enumerate(new, start=kept + 1):
            if isinstance(made, Entry) and made.id in writer:
                made = Refusal(made.id, name, "read", "duplicate-id", f"{name}: {made.id} was there already")
            if isinstance(made, Refusal):
                writer.refuse(made, key)
                n_refused += 1
                first = first or f"[{made.code}] {made.message}"
            else:
                if foreign and made.id not in writer.forgotten:
                    raise OutputInTheWayError(
                        "build-differs",
                        f"{folder}: was made of other documents, of which none is in these sources; nothing was deleted; add"
                        " --overwrite to build it of these, resume with its own sources, or choose another folder",
                    )
                foreign = False
                writer.add(made, key)
            if on_progress is not None:
                on_progress(BuildReport(n, kept, n_refused, total))
    if writer.empty:
        writer.abandon()
        found = f"none of {n_refused} documents can be used; the first: {first}" if first else "there is no document to build it of"
        raise InputError("no-input", f"{folder}: {found}; nothing was written")
    return writer.close()


def make_gap_entry(source: DocumentText, recipe: DatasetRecipe) -> Entry | Refusal:
    """Turn one row of a table of gaps into features and a gap, or say why not."""
    try:
        crystal, gap, weight = parse_gap(source)
        features = featurize_crystal(crystal, recipe.featurization, name=source.id)
    except InputError as error:
        return Refusal(source.id, source.name, error.stage, error.code, error.message)
    targets = gap_targets(gap, recipe.bands.n_bands, recipe.featurization.kpath.n_kpoints, weight)
    return _entry(source.id, features, targets, METHOD, source.sha256, recipe)


def make_entry(source: BandSource, recipe: DatasetRecipe) -> Entry | Refusal:
    """Turn one document into features and targets, or say why not."""
    identifier = source.id
    try:
        document, checksum = source.read()
        identifier = document.id
        cell = standardize(document_crystal(document), recipe.featurization.symmetry, name=document.id)
        features = featurize_cell(cell, recipe.featurization, name=document.id)
        targets = make_targets(document, cell, features.kpath, recipe.bands)
        report = targets.report
        if report.symmetry_spread_ev > recipe.max_symmetry_spread_ev:
            raise InputError(
                "symmetry-conflict",
                f"{document.id}: bands at k-points equivalent in space group {cell.space_group} differ by"
                f" {report.symmetry_spread_ev:.3f} eV, at most {recipe.max_symmetry_spread_ev} eV is allowed",
                stage="symmetry",
            )
        if report.mapped_fraction < recipe.min_mapped_fraction:
            raise InputError(
                "path-not-covered",
                f"{document.id}: the bands cover {report.mapped_fraction:.0%} of the {recipe.featurization.kpath.scheme} path,"
                f" at least {recipe.min_mapped_fraction:.0%} is needed; is the scheme that of the calculation?",
                stage="kpath",
            )
        if not targets.mask.any():
            raise InputError(
                "no-labels",
                f"{document.id}: none of the wanted bands lies below {document.trusted_below} eV, where they are trusted",
            )
    except InputError as error:
        return Refusal(identifier, source.name, error.stage, error.code, error.message)
    return _entry(document.id, features, targets, document.method, checksum, recipe)


def _entry(identifier: str, features: Features, targets: Targets, method: str, checksum: str, recipe: DatasetRecipe) -> Entry:
    formula = features.crystal.hill_formula
    return Entry(identifier, formula, recipe.splits.split(formula), features, targets, method, checksum)


def _key(source: DocumentSource) -> str:
    return f"{source.name}\0{source.stamp()}\n"


def _make_one(source: AnySource, make: Callable[[AnySource], Entry | Refusal]) -> Made:
    return source.name, _key(source), make(source)
