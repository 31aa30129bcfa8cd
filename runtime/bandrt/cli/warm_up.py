"""``bandrt warm-up``."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import click

from bandrt.cli import options, say_done
from bandrt.cli.progress import Progress
from bandrt.engine.shapes import BatchShape
from bandrt.run.warm_up import WarmUp, warm_up


@click.command("warm-up", short_help="Compile ahead what an engine would compile during a run.")
@click.argument("engine", metavar="ENGINE", type=options.ENGINE)
@click.argument("paths", nargs=-1, metavar="[PATH...]", type=options.PATH)
@click.option("--max-atoms", type=click.IntRange(1), help="Of the largest crystal, without PATH; what the engine holds by default.")
@click.option("--batch-size", type=click.IntRange(1), help="Crystals per run of the model; as infer by default.")
@options.device("cuda or cuda:N; the first GPU by default.")
@options.as_json("the outcome")
@options.quiet()
def command(
    engine: Path,
    paths: tuple[Path, ...],
    max_atoms: int | None,
    batch_size: int | None,
    device: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compile and capture every shape of batches that a run would need, and keep what was compiled beside ENGINE.

    Plans of TensorRT-RTX compile kernels on the GPU for every new shape of a batch. With PATH..., what `bandrt infer` would be
    given, exactly its shapes are made ready; without, all that crystals up to --max-atoms make. The file is for this plan, this
    release of TensorRT-RTX and this kind of GPU; runs read it, and add to it. Other engines compile nothing, which is said.

    \b
    Examples:
      bandrt warm-up model.plan my_crystals
      bandrt warm-up model.plan --max-atoms 40

    Exit codes: 0 ready, 1 stopped by an error, 2 wrong usage.
    """
    if paths and max_atoms is not None:
        raise click.UsageError("PATH says which crystals there will be; --max-atoms is for where none are named")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    with Progress("shapes", quiet=quiet) as progress:

        def show(done: int, total: int, shape: BatchShape | None) -> None:
            progress.show(done, total, f"{shape.crystals} crystals of {shape.atoms} atoms" if shape else "")

        found = warm_up(engine, paths, device=device, max_atoms=max_atoms, batch_size=batch_size, on_shape=show)
    if as_json:
        say_done(options.json_text(dataclasses.asdict(found)))
    else:
        say_done("\n".join(_lines(found)))


def _lines(found: WarmUp) -> list[str]:
    name = options.printed(found.engine)
    if found.nothing is not None:
        return [f"{name}: nothing to warm up: {found.nothing}"]
    before = found.shapes - found.compiled - found.too_large
    counts = [f"{found.compiled} compiled in {found.seconds:.1f} s", f"{before} were ready"]
    if found.too_large:
        counts.append(f"{found.too_large} do not fit into memory")
    lines = [f"{name} on {found.device}: {found.shapes} shapes, {', '.join(counts)}"]
    if found.kept is not None:
        lines.append(f"{options.printed(found.kept)}: {found.kept_bytes / 1e6:.1f} MB")
    return lines
