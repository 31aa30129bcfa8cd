"""Band structures as other packages' objects."""

from __future__ import annotations

from typing import Any

from bandrt.bands.on_path import BandsOnPath, labelled_points, segment_by_segment
from bandrt.errors import MissingPackageError


def band_structure_to_pymatgen(bands: BandsOnPath) -> Any:
    """Convert to a ``BandStructureSymmLine``.

    Branches and labels are laid out as `bandrt.bands.on_path` says.

    Raises:
        MissingPackageError: pymatgen is not installed.
    """
    try:
        from pymatgen.core import Lattice, Structure
        from pymatgen.electronic_structure.bandstructure import BandStructureSymmLine
        from pymatgen.electronic_structure.core import Spin
    except ImportError as error:
        raise MissingPackageError("pymatgen", "pymatgen", "converting to a BandStructureSymmLine") from error

    kpoints, energies = segment_by_segment(bands, bands.frac_kpoints)
    crystal = bands.crystal
    return BandStructureSymmLine(
        kpoints,
        {Spin.up: energies},
        Lattice(crystal.reciprocal),
        bands.efermi,
        labelled_points(bands.labels, bands.frac_kpoints[bands.label_indices]),
        structure=Structure(crystal.lattice, list(crystal.symbols), crystal.frac_coords),
    )
