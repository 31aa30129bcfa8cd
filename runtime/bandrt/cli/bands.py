"""``bandrt bands``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bandrt.bands.on_path import BandEdge
from bandrt.bands.view import Zero
from bandrt.cli import one_crystal, options
from bandrt.cli.figure_options import look_options, zero_option
from bandrt.spectra.bands import SampledBands, bands_along, bands_at
from bandrt.spectra.crystal_hamiltonian import verdict
from bandrt.spectra.dos import density_of_states
from bandrt.spectra.kpoints import read_kpoints
from bandrt.spectra.mesh import MAX_POINTS
from bandrt.spectra.plot import draw_bands, shown_states
from bandrt.spectra.tables import bands_table
from bandrt.spectra.zone import draw_zone


@click.command("bands", short_help="Compute all bands of a crystal at any k-points.")
@one_crystal.crystal_arguments()
@click.option(
    "--kpoints", metavar="FILE", type=options.PATH,
    help="k-points, a line each, three fractional coordinates, with or without a weight, and no number before them.",
)  # fmt: skip
@click.option(
    "--path", metavar="LABELS",
    help="A path over labels of the crystal's k-path, such as G-X-W or GXW|UL; G is Γ, and F and f may be two points.",
)  # fmt: skip
@click.option(
    "--original-cell", is_flag=True,
    help="k-points refer to the cell in the file CRYSTAL, not to the standard primitive one, which is all that results hold.",
)  # fmt: skip
@click.option(
    "--bands", "n_bands", metavar="N", type=click.IntRange(2, MAX_POINTS),
    help="So many bands around half filling, of an odd number one more above it; all of them by default.",
)  # fmt: skip
@click.option("--with-dos", is_flag=True, help="The density of states beside bands, in a figure.")
@click.option("--zone", is_flag=True, help="Draw the Brillouin zone with the path in it, in the place of bands.")
@one_crystal.energies_option("of a figure")
@zero_option()
@look_options()
@one_crystal.engine_options()
@options.out("File to write: *.json, *.csv, or *.png, *.svg, *.pdf; without, what is found is told alone.")
@options.overwrite("Replace the file if it is there already.")
@options.as_json("what is found")
def command(
    source: Path,
    id: str | None,
    kpoints: Path | None,
    path: str | None,
    original_cell: bool,
    n_bands: int | None,
    with_dos: bool,
    zone: bool,
    window: str | None,
    zero: Zero | None,
    style: str | None,
    dpi: float | None,
    width: float | None,
    height: float | None,
    engine: Path,
    no_hand_over: bool,
    threads: int | None,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Compute all bands of a crystal at k-points of your own, from the Hamiltonian that an engine says it has.

    CRYSTAL is a file; OUT ID is a crystal in the results of `bandrt infer`. Without --kpoints and --path it is the crystal's own
    k-path. Energies are in eV; zero is the Fermi level of a metal and mid-gap of an insulator, as in `bandrt infer`.

    A *.json is what BandStructureSymmLine.from_dict of pymatgen reads, of --kpoints what BandStructure.from_dict does; under the
    key bandrt it says what --json prints. A *.csv has a row for each k-point.

    \b
    Examples:
      bandrt bands MgO.cif --path "G-X-W-K-G|U-L" -o MgO.png --with-dos
      bandrt bands out mp-149 --kpoints mesh.txt -o silicon.json
      bandrt bands POSCAR --kpoints KPTS --original-cell -o bands.csv

    Exit codes: 0 done, 1 stopped by an error, 2 wrong usage.
    """
    if kpoints is not None and path is not None:
        raise click.UsageError("--kpoints and --path are two ways to say where; choose one")
    look = {"zero": zero, "style": style, "dpi": dpi, "width": width, "height": height}
    kind, shown = one_crystal.checked_out(out, overwrite=overwrite, look=look), one_crystal.energies(window)
    if kpoints is not None and kind not in ("", "json", "csv"):
        raise click.UsageError("a figure needs a path; give --path, or write *.json or *.csv")
    if (with_dos or zone) and kind in ("", "json", "csv"):
        raise click.UsageError("--with-dos and --zone are for figures; `bandrt dos` writes densities of states")
    if with_dos and zone:
        raise click.UsageError("--with-dos and --zone make two figures; choose one")
    if zone and (zero or width or height):
        raise click.UsageError("--zero, --width and --height are for figures of bands, not for --zone")
    if original_cell and kind not in ("", "json", "csv"):
        raise click.UsageError("--original-cell says in which cell k-points are told, and a figure tells none; leave it out")
    points = None if kpoints is None else read_kpoints(kpoints)
    found, name = one_crystal.hamiltonian(source, id, engine, threads, no_hand_over=no_hand_over, original_cell=original_cell)
    if points is not None:
        bands = bands_at(found, points, n_bands=n_bands, original_cell=original_cell)
    else:
        bands = bands_along(found, path, n_bands=n_bands, original_cell=original_cell)

    def figure() -> Any:
        if zone:
            return draw_zone(bands.crystal, bands)
        beside = [density_of_states(found, window=shown_states(bands, shown, zero))] if with_dos else []
        return draw_bands(
            [bands], beside, names=[name], window=shown, zero=zero, full_walk=path is not None, width=width, height=height
        )

    one_crystal.write(out, kind, document=bands.as_dict, table=lambda: bands_table(bands), figure=figure, style=style, dpi=dpi)
    one_crystal.tell(found, bands.summary(), _lines(bands), out=out, as_json=as_json)


def _lines(bands: SampledBands) -> list[str]:
    """What is found, for people."""
    n_bands, n_kpoints = bands.energies.shape
    flat = one_crystal.flat_levels(bands.n_flat_levels)
    facts = {
        "crystal": f"{bands.crystal.formula}, {bands.space_group_symbol}",
        "bands": f"{n_bands}, {bands.rule.n_valence} of them filled or nearly so{flat}, at {n_kpoints} k-points",
        "verdict": verdict(bands.is_metal, bands.of_crystal_ev, bands.kpath_gap_ev),
    }
    if bands.is_metal:
        crossing = ", ".join(map(str, bands.crossing)) or "none"
        facts["cross the Fermi level"] = f"{crossing} (bands are counted from 0) at these k-points"
    else:
        facts |= {"valence maximum": _told(bands, bands.vbm), "conduction minimum": _told(bands, bands.cbm)}
        facts["direct gap"] = f"{bands.direct_gap:.3f} eV at these k-points"
    return [f"{name}: {value}" for name, value in facts.items()]


def _told(bands: SampledBands, edge: BandEdge | None) -> str:
    """An edge, for people, at its k-point in the cell that is shown."""
    if edge is None:
        return "none"
    a, b, c = (float(value) for value in bands.shown_kpoints[edge.kpoint_index])
    return str(edge._replace(frac_kpoint=(a, b, c)))
