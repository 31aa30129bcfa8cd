"""Crystals from the ``geometry.in`` of FHI-aims."""

from __future__ import annotations

import numpy as np

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.quoting import quoted
from bandrt.readers.cartesian import fractional
from bandrt.readers.charges import charges_of_atoms
from bandrt.readers.moments import moments_of_sites
from bandrt.readers.occupancies import number_of
from bandrt.readers.species import unknown_species
from bandrt.readers.text import check_not_empty, lines_of, real_number

_OTHER_PARTICLES = {"empty", "multipole", "pseudocore"}
"""What is no atom, or only the core of one."""
_KEYWORDS = frozenset(
    "lattice_vector atom atom_frac initial_moment initial_charge"
    " constrain_relaxation constraint_region velocity RT_TDDFT_initial_velocity magnetic_response magnetic_moment nuclear_spin"
    " isotope calculate_friction esp_constraint homogeneous_field set_vacuum_level verbatim_writeout trust_radius hessian_file"
    " hessian_block hessian_block_lv hessian_block_lv_atom hessian_block_lv_atoms symmetry_n_params symmetry_params symmetry_lv"
    " symmetry_frac symmetry_frac_change_threshold rrs_pbc rrs_pbc_lattice_vector".split()
)
"""What a line may begin with; beyond the first five nothing is read. Source: the manual of FHI-aims, geometry.in; pyfhiaims."""


def read_aims(text: str, *, name: str = "crystal") -> Crystal:
    """Read the geometry of a calculation with FHI-aims; constraints and velocities are ignored, moments and charges but for a note.

    Args:
        text: the whole file.
        name: what to call it in an error, usually the file.

    Raises:
        InputError: ``empty-file``, ``aims-syntax``, ``not-periodic``, ``unknown-species``, or what `Crystal.checked` raises.
    """
    check_not_empty(text, name=name)
    vectors: list[list[float]] = []
    atoms: list[tuple[str, bool, list[float]]] = []
    moments: dict[int, str] = {}
    charges: dict[int, str] = {}
    unknown = ""
    for number, line in enumerate(lines_of(text), start=1):
        keyword, *words = line.split("#")[0].split() or [""]
        try:
            if keyword == "lattice_vector":
                vectors.append([real_number(word) for word in words[:3]])
            elif keyword in ("atom", "atom_frac"):
                atoms.append((words[3], keyword == "atom_frac", [real_number(word) for word in words[:3]]))
            elif keyword == "initial_moment":  # of the atom above it
                moments[len(atoms) - 1] = "".join(words[:1])
            elif keyword == "initial_charge":
                charges[len(atoms) - 1] = "".join(words[:1])
        except (ValueError, IndexError):
            raise InputError("aims-syntax", f"{name}: line {number}: {line.strip()[:60]!r} cannot be read") from None
        if keyword in _OTHER_PARTICLES:
            raise InputError("aims-syntax", f"{name}: line {number}: {keyword} is no atom; a crystal of atoms is needed")
        if keyword and not unknown and keyword not in _KEYWORDS:
            unknown = f"line {number}: {quoted(keyword)}"
    if not vectors:
        raise InputError("not-periodic", f"{name}: no lattice_vector; a molecule has no bands")
    if unknown:
        raise InputError("aims-syntax", f"{name}: {unknown} is no keyword of geometry.in; mend it, or remove the line")
    if len(vectors) != 3 or any(len(vector) != 3 for vector in vectors):
        raise InputError("not-periodic", f"{name}: {len(vectors)} lattice vectors; three of three numbers are needed")
    numbers = [number_of(symbol) for symbol, _, _ in atoms]
    if 0 in numbers:
        raise unknown_species(atoms[numbers.index(0)][0], name=name, site=f"site {numbers.index(0) + 1}")
    lattice = np.array(vectors)
    positions = np.array([position for _, _, position in atoms]).reshape(len(atoms), 3)
    is_frac = np.array([frac for _, frac, _ in atoms], dtype=np.bool_)[:, None]
    coords = np.where(is_frac, positions, fractional(np.where(is_frac, 0.0, positions), lattice, name=name))
    crystal = Crystal.checked(lattice, numbers, coords, name=name)
    of_sites = moments_of_sites(numbers, [[moments.get(place) for place in range(len(atoms))]])
    return crystal.with_notes((*of_sites, *charges_of_atoms(None, charges.values())))
