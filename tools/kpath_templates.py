"""Write the table of Latimer-Munro templates that ships with the package.

    python tools/kpath_templates.py

The table is complete: the Laue groups of the 230 space groups, each with all patterns of vanishing Selling parameters that
a lattice with that symmetry can have. Lattices of random shape find the generic patterns of a group; the others are those
that appear when further parameters go to zero.
"""

from __future__ import annotations

from pathlib import Path

import moyopy
import numpy as np

from bandrt.errors import InputError
from bandrt.kpaths import templates
from bandrt.kpaths.brillouin_zone import Superbase, equivalent_superbases, reduced_superbase
from bandrt.kpaths.selection import build_template, stand_in_metric

TABLE = Path(templates.__file__).with_name(templates.TABLE)
N_SHAPES = 400
"""Random lattices per Laue group."""


def laue_groups() -> list[np.ndarray]:
    """Every Laue group on primitive reciprocal coordinates, (n, 3, 3) each, as the space groups give them."""
    found = {}
    for number in range(1, 231):
        rotations = np.array(moyopy.operations_from_number(number, primitive=True).rotations)
        both = np.concatenate([rotations, -rotations])
        reciprocal = np.rint(np.linalg.inv(both)).astype(int).transpose(0, 2, 1)
        group = np.unique(reciprocal, axis=0)
        found[group.tobytes()] = group
    return list(found.values())


def keys_of(group: np.ndarray, rng: np.random.Generator) -> set[templates.TemplateKey]:
    """Every template key of lattices with this Laue group."""
    generic = set()
    for _ in range(N_SHAPES):
        vectors = rng.normal(size=(3, 3)) * np.exp(rng.normal(size=3))
        metric = np.einsum("rji,jk,rkl->il", group, vectors @ vectors.T, group) / len(group)
        generic |= set(equivalent_superbases(reduced_superbase(metric)))
    keys = set()
    for base in generic:
        columns = np.array(base.vectors[:3]).T
        inside = np.rint(np.linalg.inv(columns) @ group @ columns).astype(int)
        for mask in range(64):
            try:
                metric = stand_in_metric(mask, inside)
            except InputError:
                continue
            if np.linalg.eigvalsh(metric)[0] > 1e-6:
                keys.add(templates.canonical_frame(Superbase(base.vectors, mask), group)[1])
    return keys


def main() -> None:
    """Build all templates and write the table."""
    rng = np.random.default_rng(0)
    keys = {key for group in laue_groups() for key in keys_of(group, rng)}
    text = templates.to_json({key: build_template(*key) for key in sorted(keys)})
    TABLE.write_text(text, encoding="utf-8")
    print(f"{len(keys)} templates, {len(text)} bytes: {TABLE.name}")


if __name__ == "__main__":
    main()
