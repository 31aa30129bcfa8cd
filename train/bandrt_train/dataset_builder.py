"""From band documents, or a table of gaps, to a data set, in one process or several."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

from bandrt.errors import InputError
from bandrt.features import Features, featurize_cell, featurize_crystal
from bandrt.symmetry import standardize
from bandrt_train.band_documents import DocumentText, find_documents, parse_document
from bandrt_train.dataset import Dataset, DatasetRecipe, DatasetWriter, Entry, Refusal
from bandrt_train.gap_labels import METHOD, find_gaps, gap_targets, parse_gap
from bandrt_train.targets import Targets, document_crystal, make_targets

Result = tuple[str, Entry | Refusal]
"""Where a document was, and what it became."""
CHUNK = 128
"""Documents handed to the worker processes at a time: what is held in memory."""


def build_dataset(
    sources: Sequence[Path],
    folder: Path,
    recipe: DatasetRecipe,
    *,
    workers: int = 1,
    progress: Callable[[Iterable[Result]], Iterable[Result]] = iter,
) -> Dataset:
    """Turn every document under `sources` into an entry or a refusal.

    Args:
        sources: files and folders of band documents; of several documents with one id the first is used.
        folder: the data set to write, new or empty.
        recipe: what becomes of a document.
        workers: processes.
        progress: wraps the stream of results, e.g. to count them.
    """
    return _write(_results(find_documents(sources), partial(make_entry, recipe=recipe), workers), folder, recipe, progress)


def _write(
    results: Iterable[Result], folder: Path, recipe: DatasetRecipe, progress: Callable[[Iterable[Result]], Iterable[Result]]
) -> Dataset:
    writer = DatasetWriter(folder, recipe)
    seen: set[str] = set()
    for name, result in progress(results):
        if isinstance(result, Refusal):
            writer.refuse(result)
        elif result.id in seen:
            writer.refuse(Refusal(result.id, name, "read", "duplicate-id", f"{name}: {result.id} was there already"))
        else:
            seen.add(result.id)
            writer.add(result)
    return writer.close()


def build_gap_dataset(
    table: Path,
    folder: Path,
    recipe: DatasetRecipe,
    *,
    workers: int = 1,
    progress: Callable[[Iterable[Result]], Iterable[Result]] = iter,
) -> Dataset:
    """Turn every row of a table of gaps (see `gap_labels`) into an entry that labels no band, or a refusal.

    Formulas go to the same splits as in a data set of bands with the same rule.
    """
    return _write(_results(find_gaps(table), partial(make_gap_entry, recipe=recipe), workers), folder, recipe, progress)


def make_gap_entry(source: DocumentText, recipe: DatasetRecipe) -> Entry | Refusal:
    """Turn one row of a table of gaps into features and a gap, or say why not."""
    try:
        crystal, gap = parse_gap(source)
        features = featurize_crystal(crystal, recipe.featurization, name=source.id)
    except InputError as error:
        return Refusal(source.id, source.name, error.stage, error.code, error.message)
    targets = gap_targets(gap, recipe.bands.n_bands, recipe.featurization.kpath.n_kpoints)
    return _entry(source.id, source, features, targets, METHOD, recipe)


def make_entry(source: DocumentText, recipe: DatasetRecipe) -> Entry | Refusal:
    """Turn one document into features and targets, or say why not."""
    identifier = source.id
    try:
        document = parse_document(source)
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
                f" at least {recipe.min_mapped_fraction:.0%} is needed",
                stage="kpath",
            )
        if not targets.mask.any():
            raise InputError(
                "no-labels",
                f"{document.id}: none of the wanted bands lies below {document.trusted_below} eV, where they are trusted",
            )
    except InputError as error:
        return Refusal(identifier, source.name, error.stage, error.code, error.message)
    return _entry(document.id, source, features, targets, document.method, recipe)


def _entry(
    identifier: str, source: DocumentText, features: Features, targets: Targets, method: str, recipe: DatasetRecipe
) -> Entry:
    checksum = hashlib.sha256(source.text.strip().encode()).hexdigest()
    formula = features.crystal.hill_formula
    return Entry(identifier, formula, recipe.splits.split(formula), features, targets, method, checksum)


def _results(sources: Iterator[DocumentText], make: Callable[[DocumentText], Entry | Refusal], workers: int) -> Iterator[Result]:
    if workers <= 1:
        yield from ((source.name, make(source)) for source in sources)
        return
    with ProcessPoolExecutor(workers) as pool:
        while chunk := list(islice(sources, CHUNK)):
            yield from zip((source.name for source in chunk), pool.map(make, chunk, chunksize=8), strict=True)
