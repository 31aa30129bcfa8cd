"""What a run would do: found out without an engine, and without writing anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from bandrt.engine import chosen_bands, default_device, engine_sha256, read_manifest
from bandrt.errors import OutputError, OutputInTheWayError
from bandrt.files import path_of
from bandrt.predict import default_batch_size
from bandrt.quoting import counted, printable, shortened
from bandrt.results.damage import undamaged
from bandrt.results.parts import part_ids
from bandrt.results.store import PARTS, Mode, check_store, part_files, read_errors
from bandrt.routes import other_engine
from bandrt.run.defaults import default_max_atoms
from bandrt.run.infer import InferOptions, options_record, require_same, workers_of
from bandrt.run.inputs import inputs_of, sources_of
from bandrt.run.large import is_slow, slow_said
from bandrt.run.padding import padding_of
from bandrt.run.record import earlier_record, recorded_batch_size
from bandrt.run.report import RunReport
from bandrt.run.shard import WHOLE
from bandrt.sources.standard_input import Piped

MOST_SIZED = 30_000
"""Inputs that a dry run reads to find out how much of the batches is padding: half a minute on two cores."""


def dry_run(paths: Path | str | Iterable[Path | str] | Piped, out: Path | str, options: InferOptions) -> dict[str, Any]:
    """What `infer` would do, writing nothing and running nothing.

    Where earlier results are in the way of a new run, it says so (``refused``), and what going on with them would do (``resume``).

    Raises:
        BandrtError: as `infer` would before its first prediction, earlier results in the way apart.
    """
    inputs, out = inputs_of(paths), path_of(out, what="out")
    refused = _in_the_way(out, options.mode)
    manifest = read_manifest(options.engine)
    rule = chosen_bands(manifest, options.bands, path=options.engine)
    device = default_device(options.engine) if options.device is None else options.device
    left, other = manifest.hand_over, other_engine(options.engine, manifest) if options.hand_over else None
    there = earlier_record(out) if refused or options.mode == "resume" else {}
    before = there if options.mode == "resume" else {}
    batch_size = options.batch_size or recorded_batch_size(before) or default_batch_size(device)
    named = "none" if other is None else {"path": str(other), "sha256": engine_sha256(other)}
    chosen = {"path": str(options.engine), "sha256": engine_sha256(options.engine), "hand_over": named}
    workers = workers_of(options, device)
    given = options_record(options, device, rule, workers=workers, batch_size=batch_size)
    require_same(out, before, {"engine": chosen, "options": given})
    earlier: dict[str, Any] = {"refused": refused} if refused else {}
    if before or refused:
        earlier["resume"] = _resumed(out, there, options, {"engine": chosen, "options": given})
    found = sources_of(inputs, out, structure_column=options.structure_column, keep=options.keep, report=RunReport())
    sources = filter(options.shard.has, found)
    padding = padding_of(
        islice(sources, MOST_SIZED),
        manifest,
        None if other is None else read_manifest(other),
        batch_size=batch_size,
        max_atoms=options.max_atoms or default_max_atoms(device),
        workers=workers,
        timeout=options.timeout,
    )
    name, n_atoms = padding.largest
    return {
        "inputs": padding.inputs + sum(1 for _ in sources),
        **({"shard": str(options.shard)} if options.shard != WHOLE else {}),
        "out": str(out),
        "mode": options.mode,
        **earlier,
        "engine": str(options.engine),
        "variant": manifest.variant,
        "bands": rule.n_bands,
        "kpath": manifest.recipe.kpath.scheme,
        **({"hand_over": f"{left.engine} ({' '.join(left.elements)})"} if other is not None and left is not None else {}),
        "device": device,
        "workers": workers,
        "batch_size": batch_size,
        "padding": padding.ratio,
        **({"slow": slow_said(shortened(printable(name)), n_atoms)} if is_slow(manifest, device, n_atoms) else {}),
    }


def _in_the_way(out: Path, mode: Mode) -> str:
    """Why earlier results are in the way of a run; empty where they are not.

    Raises:
        BandrtError: nothing at all can be written there.
    """
    try:
        check_store(out, mode)
    except OutputInTheWayError as error:
        if error.code != "output-not-empty":
            raise
        return error.message
    return ""


def _resumed(out: Path, before: Mapping[str, Any], options: InferOptions, record: Mapping[str, Any]) -> str:
    """What going on with earlier results would do, of which ``run.json`` says so."""
    batch_size = options.batch_size or recorded_batch_size(before) or record["options"]["batch_size"]
    try:
        require_same(out, before, {**record, "options": {**record["options"], "batch_size": batch_size}})
    except OutputInTheWayError as error:
        return f"would be refused, too: {error.message}"
    there = f"{counted(_n_predicted(out), 'prediction')} and {counted(len(read_errors(out)), 'failure')}"
    kept = "the predictions are kept, and the failures tried again" if options.retry_failed else "they are kept"
    return f"{there} are there: {kept} where inputs have not changed, and all else is predicted"


def _n_predicted(out: Path) -> int:
    """Predictions in an output folder, damaged parts aside."""
    found = 0
    for path in part_files(out) if (out / PARTS).is_dir() else ():
        with suppress(OutputError), undamaged():
            found += len(part_ids(path))
    return found
