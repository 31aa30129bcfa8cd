"""``bandrt masses``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bandrt.cli import one_crystal, options
from bandrt.files import replaced
from bandrt.quoting import counted
from bandrt.spectra.masses import SEARCH_DENSITY, BandExtremum, band_edges, masses_document
from bandrt.spectra.mesh import MAX_DENSITY


@click.command("masses", short_help="Compute effective masses at the band edges of a crystal.")
@one_crystal.crystal_arguments()
@click.option(
    "--density", type=options.Number(1e-3, MAX_DENSITY), default=SEARCH_DENSITY, show_default=True,
    help="Of the mesh from which the search for the edges starts: k-points per 1/Å³ of reciprocal space.",
)  # fmt: skip
@one_crystal.engine_options()
@options.out("File to write: *.json; without, what is found is told alone.")
@options.overwrite("Replace the file if it is there already.")
@options.as_json("what a file would hold")
def command(
    source: Path,
    id: str | None,
    density: float,
    engine: Path,
    no_hand_over: bool,
    threads: int | None,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Compute effective masses of holes and electrons, from the Hamiltonian that an engine says a crystal has.

    CRYSTAL is a file; OUT ID is a crystal in the results of `bandrt infer`. The edges are looked for in the whole zone. Masses are
    along the principal axes of a single band; where several bands meet, of each of them along directions of the conventional cell.
    They are those at the edge itself: bands that are not parabolic have others a little away from it.

    Masses are in m_e, the mass of the electron. Those of holes are positive where the valence band curves down, those of electrons
    where the conduction band curves up; a negative one says that the band curves the other way. Directions are Cartesian unit
    vectors, in the frame of the standard primitive cell.

    \b
    Examples:
      bandrt masses MgO.cif
      bandrt masses out mp-149 -o silicon.json

    Exit codes: 0 done, 1 stopped by an error, 2 wrong usage.
    """
    if one_crystal.checked_out(out, overwrite=overwrite) not in ("", "json"):
        raise click.UsageError(f"{out}: masses are written as *.json")
    found, _ = one_crystal.hamiltonian(source, id, engine, threads, no_hand_over=no_hand_over)
    edges = band_edges(found, density=density)
    document = masses_document(found, edges)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        with replaced(out) as file:
            json.dump(document, file, ensure_ascii=False, indent=1, allow_nan=False)
    lines = [line for edge in edges for line in _lines(edge)]
    one_crystal.tell(found, document, lines, out=out, as_json=as_json)


def _lines(edge: BandExtremum) -> list[str]:
    """What is found of one edge, for people."""
    place = edge.label or f"({', '.join(f'{f:.4g}' for f in edge.kpoint)})"
    valleys = f", {edge.valleys} valleys" if edge.valleys > 1 else ""
    lines = [f"{edge.carrier}s: {edge.energy:.3f} eV at {place}, {counted(len(edge.bands), 'band')}{valleys}"]
    for mass in edge.masses:
        x, y, z = mass.direction
        value = "not parabolic" if mass.mass is None else f"{mass.mass:.3f} m_e"
        axis = "a principal axis" if mass.axis == "principal" else mass.axis
        lines.append(f"  {value} along {axis} ({x:.3f}, {y:.3f}, {z:.3f}), band {mass.band}")
    return lines
