"""``bandrt dos``."""

from __future__ import annotations

from pathlib import Path

import click

from bandrt.cli import one_crystal, options
from bandrt.cli.figure_options import look_options
from bandrt.spectra.crystal_hamiltonian import verdict
from bandrt.spectra.dos import LEAST_STEP_EV, MOST_EV, STEP_EV, WINDOW_EV, DensityOfStates, density_of_states
from bandrt.spectra.mesh import DENSITY, MAX_DENSITY, MAX_POINTS
from bandrt.spectra.plot import draw_dos
from bandrt.spectra.tables import dos_table

PARTS = ("element", "shell", "total")


@click.command("dos", short_help="Compute the density of states of a crystal, by orbital.")
@one_crystal.crystal_arguments()
@click.option("--mesh", nargs=3, type=click.IntRange(1, MAX_POINTS), metavar="A B C", help="k-points along each reciprocal vector.")
@click.option(
    "--density", type=options.Number(1e-3, MAX_DENSITY), default=DENSITY, show_default=True,
    help="Without --mesh: k-points per 1/Å³ of reciprocal space.",
)  # fmt: skip
@one_crystal.energies_option(f"that are covered, {WINDOW_EV[0]:g}:{WINDOW_EV[1]:g} by default, and of a figure")
@click.option(
    "--step", type=options.Number(LEAST_STEP_EV, MOST_EV), default=STEP_EV, show_default=True, help="Between two energies, eV."
)
@click.option(
    "--smearing", type=options.Number(LEAST_STEP_EV, MOST_EV), help="Standard deviation of a Gaussian to spread it by, eV."
)
@click.option("--by", type=click.Choice(PARTS), default=PARTS[0], show_default=True, help="Parts of a figure.")
@look_options()
@one_crystal.engine_options()
@options.out("File to write: *.json, *.csv, or *.png, *.svg, *.pdf; without, what is found is told alone.")
@options.overwrite("Replace the file if it is there already.")
@options.as_json("what is found")
def command(
    source: Path,
    id: str | None,
    mesh: tuple[int, int, int] | None,
    density: float,
    window: str | None,
    step: float,
    smearing: float | None,
    by: str,
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
    """Compute the density of states of a crystal, from the Hamiltonian that an engine says it has.

    CRYSTAL is a file; OUT ID is a crystal in the results of `bandrt infer`. States are integrated by linear tetrahedra over a
    mesh around Γ of the standard primitive cell, and projected onto orbitals; those of both spins are counted, in one such cell.
    Energies are in eV; zero is the Fermi level of a metal and mid-gap of an insulator, as in `bandrt infer`.

    A *.json is what CompleteDos.from_dict of pymatgen reads; under the key bandrt it says what --json prints: gap, edges, direct
    gap and the Fermi level over the mesh, and which bands cross that. A *.csv has a row for each energy.

    \b
    Examples:
      bandrt dos MgO.cif -o MgO.png --by shell
      bandrt dos out mp-149 --mesh 16 16 16 -o silicon.json

    Exit codes: 0 done, 1 stopped by an error, 2 wrong usage.
    """
    look = {"style": style, "dpi": dpi, "width": width, "height": height}
    kind, shown = one_crystal.checked_out(out, overwrite=overwrite, look=look), one_crystal.energies(window)
    found, name = one_crystal.hamiltonian(source, id, engine, threads, no_hand_over=no_hand_over)
    dos = density_of_states(found, mesh=mesh or None, density=density, window=shown or WINDOW_EV, step=step, smearing=smearing)
    one_crystal.write(
        out, kind, document=dos.as_dict, table=lambda: dos_table(dos),
        figure=lambda: draw_dos(dos, by=by, window=shown, name=name, width=width, height=height), style=style, dpi=dpi,
    )  # fmt: skip
    one_crystal.tell(found, dos.summary(), _lines(dos), out=out, as_json=as_json)


def _lines(dos: DensityOfStates) -> list[str]:
    """What is found, for people."""
    facts = {
        "crystal": f"{dos.crystal.formula}, {dos.electrons:g} electrons",
        "bands": f"{dos.n_bands}{one_crystal.flat_levels(dos.n_flat_levels)}",
        "mesh": " x ".join(map(str, dos.mesh)),
        "verdict": verdict(dos.is_metal, dos.band_gap, dos.kpath_gap_ev),
    }
    if dos.vbm is not None and dos.cbm is not None and dos.direct_gap is not None:
        for name, edge in (("valence maximum", dos.vbm), ("conduction minimum", dos.cbm), ("direct gap", dos.direct_gap)):
            facts[name] = f"{edge.energy:.3f} eV at ({', '.join(f'{f:.4g}' for f in edge.frac_kpoint)})"
    else:
        there = "outside the window" if dos.at_efermi is None else f"{dos.at_efermi:.2f} states/eV there"
        facts["Fermi level"] = f"{dos.efermi:.3f} eV, {there}"
        facts["cross it"] = ", ".join(str(one.band) for one in dos.crossing) or "none"
    return [f"{name}: {value}" for name, value in facts.items()]
