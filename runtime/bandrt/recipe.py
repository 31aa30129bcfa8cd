"""The recipe: every choice that decides what numbers an engine is fed, in one frozen value.

Training writes it into the checkpoint, export into the manifest, and inference follows it. Two recipes that compare
equal give the same features for the same crystal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

from bandrt.arguments import check_choices, check_kind, check_type, checked_number, checked_whole, not_allowed
from bandrt.elements import MAX_ATOMIC_NUMBER

Scheme = Literal["latimer_munro", "setyawan_curtarolo"]
Frame = Literal["fractional", "cartesian"]
Direction = Literal["to_center", "from_center"]

MAX_SYMPREC = 1.0
"""Å: atoms that are moved further are other atoms."""
MAX_CUTOFF = 100.0
"""Å: a sphere of this size around an atom holds hundreds of thousands."""
MAX_NEIGHBORS = 10_000
MAX_REACH = 10.0
"""Sums of covalent radii: beyond it nothing is called a bond."""
MAX_MESH = 32
"""Points of a mesh along an axis."""
MAX_MESH_SPACING = 100.0
"""1/Å: a mesh of one point, whatever the crystal."""
MIN_SMEARING, MAX_SMEARING = 0.001, 10.0
"""eV: the energies of a mesh are a step function below, and all alike above."""
MAX_KPOINTS = 100_000
"""Points of one path; more is a slip of the pen, and would fill the memory."""


@dataclass(frozen=True)
class SymmetryRecipe:
    """How the space group and the standard primitive cell are found."""

    finder: Literal["moyopy"] = "moyopy"
    symprec: float = 0.01
    """Å: how far an atom may lie from its symmetric place; more than 0, at most `MAX_SYMPREC`."""

    def __post_init__(self) -> None:
        check_choices(self)
        object.__setattr__(self, "symprec", checked_number("symprec", self.symprec, above=0.0, at_most=MAX_SYMPREC))


@dataclass(frozen=True)
class GraphRecipe:
    """How neighbours are chosen.

    With the rule ``bonds`` all fields mean nothing but `cutoff` and `reach`.
    """

    cutoff: float = 8.0
    """Å: no neighbour lies further."""
    n_neighbors: int = 12
    """Nearest neighbours of an atom; fewer within the cutoff are masked."""
    tie_tolerance: float = 1e-3
    """Å: neighbours whose distances differ by less form one shell."""
    tie_rule: Literal["site_invariant", "complete_shells"] = "site_invariant"
    """``site_invariant``: the last shell is filled in the order of an invariant of the neighbour's site.
    ``complete_shells``: a shell that does not fit is left out whole."""
    self_images: bool = True
    """Whether periodic images of an atom are its neighbours."""
    direction: Direction = "to_center"
    """``to_center``: an atom hears its nearest neighbours, in as many slots. ``from_center``: an atom speaks to its nearest
    neighbours, so it hears all atoms that have it among theirs, in slots as needed; which of several equally far neighbours are
    the nearest then matters, and with ``site_invariant`` ties bands may depend on the order of the atoms."""
    rule: Literal["nearest", "bonds"] = "nearest"
    """``nearest``: as many as `n_neighbors`. ``bonds``: all atoms nearer than `reach`, and nearer than the cutoff, images of the
    atom itself among them, in as many slots as one atom needs; each pair is there and back."""
    reach: float = 2.3
    """Of ``bonds``: in sums of the covalent radii of two atoms."""

    def __post_init__(self) -> None:
        check_choices(self)
        check_kind("self_images", self.self_images, bool)
        if self.rule == "bonds" and (not self.self_images or self.direction != "to_center"):
            raise not_allowed("rule", self.rule, "'nearest', without self images or with the direction 'from_center'")
        object.__setattr__(self, "reach", checked_number("reach", self.reach, above=0.0, at_most=MAX_REACH))
        object.__setattr__(self, "cutoff", checked_number("cutoff", self.cutoff, above=0.0, at_most=MAX_CUTOFF))
        object.__setattr__(self, "n_neighbors", checked_whole("n_neighbors", self.n_neighbors, at_least=1, at_most=MAX_NEIGHBORS))
        tolerance = checked_number("tie_tolerance", self.tie_tolerance, at_least=0.0, at_most=self.cutoff)
        object.__setattr__(self, "tie_tolerance", tolerance)


@dataclass(frozen=True)
class KpathRecipe:
    """Which k-points are computed, and in which coordinates the engine wants them."""

    scheme: Scheme = "latimer_munro"
    n_kpoints: int = 256
    frame: Frame = "fractional"
    """``fractional``: in the reciprocal of the standard primitive cell; ``cartesian``: 1/Å in the standard orientation."""
    smoothing: Literal["none"] = "none"
    """Bands are never smoothed across a corner of the path."""

    def __post_init__(self) -> None:
        check_choices(self)
        object.__setattr__(self, "n_kpoints", checked_whole("n_kpoints", self.n_kpoints, at_least=2, at_most=MAX_KPOINTS))


@dataclass(frozen=True)
class MeshRecipe:
    """Which k-points besides the path are computed, of which an engine learns how far bands are filled.

    A mesh around Γ, evenly spaced along the reciprocal vectors, without points that symmetry makes of others.
    """

    spacing: float = 0.45
    """1/Å, at most, between points along a reciprocal vector, unless `most` or `kept` is reached."""
    most: int = 6
    """Points along a reciprocal vector."""
    symmetry: Literal["time_reversal", "point_group"] = "time_reversal"
    """``time_reversal``: of k and -k one is kept. ``point_group``: of all points that rotations of the crystal and time reversal
    take to each other, on a mesh with as many points along each of reciprocal vectors that rotations mix."""
    kept: int | None = None
    """Points that are kept, at most: the spacing grows until there are no more. None: as many as there are."""
    smearing: float = 0.15
    """eV, of the Fermi function that finds the Fermi level of a metal."""

    def __post_init__(self) -> None:
        check_choices(self)
        object.__setattr__(self, "spacing", checked_number("spacing", self.spacing, above=0.0, at_most=MAX_MESH_SPACING))
        object.__setattr__(self, "most", checked_whole("most", self.most, at_least=1, at_most=MAX_MESH))
        if self.kept is not None:
            object.__setattr__(self, "kept", checked_whole("kept", self.kept, at_least=1, at_most=MAX_MESH**3))
        object.__setattr__(self, "smearing", checked_number("smearing", self.smearing, at_least=MIN_SMEARING, at_most=MAX_SMEARING))

    @property
    def most_points(self) -> int:
        """How many points the largest mesh keeps, that of a crystal without rotations: 112 of 6 along each vector, or `kept`."""
        sizes = product(range(1, self.most + 1), repeat=3)
        largest = max((math.prod(axes) + math.prod(2 - size % 2 for size in axes)) // 2 for axes in sizes)
        return largest if self.kept is None else min(largest, self.kept)


@dataclass(frozen=True)
class Recipe:
    """All of featurisation."""

    symmetry: SymmetryRecipe = field(default_factory=SymmetryRecipe)
    graph: GraphRecipe = field(default_factory=GraphRecipe)
    kpath: KpathRecipe = field(default_factory=KpathRecipe)
    max_atomic_number: int = MAX_ATOMIC_NUMBER
    """The heaviest element an engine has numbers for."""
    mesh: MeshRecipe | None = None
    """None: no k-points besides the path."""

    def __post_init__(self) -> None:
        check_kind("symmetry", self.symmetry, SymmetryRecipe)
        check_kind("graph", self.graph, GraphRecipe)
        check_kind("kpath", self.kpath, KpathRecipe)
        check_type("mesh", self.mesh, MeshRecipe | None)
        heaviest = checked_whole("max_atomic_number", self.max_atomic_number, at_least=1, at_most=MAX_ATOMIC_NUMBER)
        object.__setattr__(self, "max_atomic_number", heaviest)

    def __repr__(self) -> str:
        graph, kpath = self.graph, self.kpath
        neighbors = "all bonds" if graph.rule == "bonds" else f"{graph.n_neighbors} neighbours"
        return f"Recipe({kpath.scheme}, {kpath.n_kpoints} k-points, {neighbors} within {graph.cutoff:g} Å)"
