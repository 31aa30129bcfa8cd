"""The graph contract: every array that an engine takes or gives, in one table.

A padded batch holds B crystals side by side. The table says what each array is called, how its axes are counted, its type and unit,
what it means, and what stands where there is no crystal, atom or neighbour. ONNX files and plans have the same names. Batches,
sessions, export, messages and documents are all made from this table; nothing else states it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from bandrt.errors import EngineError, ManifestError
from bandrt.manifest import Manifest, Variant

Dtype = Literal["int32", "float32", "bool"]
Axes = tuple[int, ...]
"""The shape of an array, in numbers."""


@dataclass(frozen=True)
class Dimension:
    """What an axis counts.

    Attributes:
        symbol: as shapes are written, e.g. ``B``.
        name: what a free axis is called in the ONNX graph, e.g. ``batch``.
        meaning: what is counted.
        size: where the size comes from.
    """

    symbol: str
    name: str
    meaning: str
    size: str


@dataclass(frozen=True)
class TensorSpec:
    """One array of the contract.

    Attributes:
        name: in ONNX files, plans, manifests and the runtime alike.
        dims: symbols of `DIMENSIONS`, in the order of the axes; a number is that size and no other, e.g. 3 components.
        dtype: as NumPy calls it.
        unit: of the numbers; empty for what has none.
        meaning: what the numbers say.
        padding: the value where there is no crystal, atom or neighbour; None of outputs, whose padding holds finite numbers that
            mean nothing.
        optional: whether only the engines have it whose manifest lists it.
    """

    name: str
    dims: tuple[str | int, ...]
    dtype: Dtype
    unit: str
    meaning: str
    padding: int | float | bool | None
    optional: bool = False

    def axes(self, sizes: Mapping[str, int]) -> Axes:
        """The shape, by the sizes of the dimensions."""
        return tuple(dim if isinstance(dim, int) else sizes[dim] for dim in self.dims)

    def shape(self, sizes: Mapping[str, int]) -> tuple[str | int, ...]:
        """The shape as far as sizes are known; other dimensions stay symbols."""
        return tuple(dim if isinstance(dim, int) else sizes.get(dim, dim) for dim in self.dims)

    def written(self, sizes: Mapping[str, int] = MappingProxyType({})) -> str:
        """The shape as text, e.g. ``(B, N, 12)``."""
        shape = self.shape(sizes)
        return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"

    def padded(self, sizes: Mapping[str, int]) -> NDArray[np.generic]:
        """An array of this kind that is all padding."""
        assert self.padding is not None, f"{self.name} is an output, which a model fills"
        return np.full(self.axes(sizes), self.padding, dtype=self.dtype)


DIMENSIONS: Final[Mapping[str, Dimension]] = MappingProxyType(
    {
        one.symbol: one
        for one in (
            Dimension("B", "batch", "crystals in the batch", "free"),
            Dimension("N", "atoms", "atoms of a crystal", "free; the largest crystal of the batch decides"),
            Dimension(
                "D",
                "slots",
                "neighbour slots of an atom",
                "the graph recipe's number of neighbours; free in variants that take any number",
            ),
            Dimension("K", "kpoints", "k-points of the path", "the k-path recipe's number of points"),
            Dimension(
                "C",
                "centred",
                "crystals at the beginning of the batch whose centre of inversion is used",
                "free, from none to all; where one has no centre, or none is known, those before it",
            ),
            Dimension("M", "mesh", "k-points of the mesh", "free; the largest mesh of the batch decides"),
            Dimension("n_bands", "bands", "predicted bands", "the manifest's number of bands"),
        )
    }
)
"""What axes count, by symbol."""
ANY_SLOTS: Final[frozenset[Variant]] = frozenset({"released", "hamiltonian"})
"""Variants that take any number of neighbour slots, so that D is free."""

INPUTS: Final = (
    TensorSpec("atomic_numbers", ("B", "N"), "int32", "", "atomic number of each atom", 0),
    TensorSpec("neighbor_index", ("B", "N", "D"), "int32", "", "neighbour in each slot, as its index within the crystal", 0),
    TensorSpec("neighbor_distance", ("B", "N", "D"), "float32", "Å", "distance from the atom to the neighbour", 0.0),
    TensorSpec("neighbor_mask", ("B", "N", "D"), "bool", "", "whether the slot holds a neighbour", False),
    TensorSpec("atom_mask", ("B", "N"), "bool", "", "whether there is an atom", False),
    TensorSpec(
        "kpoints",
        ("B", "K", 3),
        "float32",
        "fractional, or 1/Å: the k-path recipe's frame",
        "points of the k-path, in the reciprocal of the standard primitive cell",
        0.0,
    ),
    TensorSpec(
        "neighbor_image",
        ("B", "N", "D", 3),
        "int32",
        "cell vectors",
        "lattice translation of the neighbour",
        0,
        optional=True,
    ),
    TensorSpec(
        "neighbor_direction",
        ("B", "N", "D", 3),
        "float32",
        "",
        "Cartesian unit vector from the atom to the neighbour, in the frame of the standard primitive cell",
        0.0,
        optional=True,
    ),
    TensorSpec(
        "mesh_kpoints",
        ("B", "M", 3),
        "float32",
        "fractional",
        "points of the mesh, in the reciprocal of the standard primitive cell",
        0.0,
        optional=True,
    ),
    TensorSpec("mesh_weights", ("B", "M"), "float32", "", "share of the Brillouin zone of each mesh point", 0.0, optional=True),
    TensorSpec("inversion_partner", ("C", "N"), "int32", "", "to which atom inversion takes each atom", 0, optional=True),
    TensorSpec(
        "inversion_image",
        ("C", "N", 3),
        "int32",
        "cell vectors",
        "translation t from the partner to the inverted atom: twice the centre is place + partner's place + t",
        0,
        optional=True,
    ),
)
"""What engines are fed, those that every engine takes first; that is also the order in which dense models take them."""
BAND_ENERGIES: Final = "band_energies"
"""The output that every engine has."""
UNCERTAINTY: Final = "uncertainty_ev"
"""The output of engines that estimate their error."""
_UNCERTAINTY: Final = TensorSpec(
    UNCERTAINTY, ("B",), "float32", "eV", "mean absolute error to expect of a crystal's energies", None, optional=True
)
OUTPUTS: Final = (
    TensorSpec(BAND_ENERGIES, ("B", "n_bands", "K"), "float32", "eV", "band energies relative to E_F or mid-gap", None),
    TensorSpec("band_center", ("B", "n_bands"), "float32", "eV", "mean of each band over the path", None, optional=True),
    TensorSpec(
        "band_dispersion",
        ("B", "n_bands", "K"),
        "float32",
        "eV",
        "deviation of each band from its mean",
        None,
        optional=True,
    ),
    _UNCERTAINTY,
)
"""What engines give; rows that are all padding change nothing in the others."""
N_ORBITALS: Final = 9
"""Of each atom of a Hamiltonian: s; x, y, z; xy, yz, xz, x2-y2, 3z2-r2."""
NOWHERE: Final = 1e4
"""eV: where levels are put that there are not, above all that there are."""
HAMILTONIAN: Final = (
    TensorSpec(
        "hoppings",
        ("B", "N", "D", N_ORBITALS, N_ORBITALS),
        "float32",
        "eV",
        "from the orbitals of the atom (rows) to those of the neighbour in its cell (columns)",
        0.0,
    ),
    TensorSpec(
        "on_site",
        ("B", "N", N_ORBITALS, N_ORBITALS),
        "float32",
        "eV",
        f"between orbitals of the atom; on padding {NOWHERE:g} on the diagonal",
        None,
    ),
    TensorSpec(
        "flat_levels",
        ("B", "N", N_ORBITALS),
        "float32",
        "eV",
        f"levels of the atom that are the same at all k-points, {NOWHERE:g} where it has none",
        NOWHERE,
    ),
    TensorSpec("electrons", ("B",), "float32", "", "electrons in a cell, two of which fill a band", 0.0),
    _UNCERTAINTY,
)
"""What a model of the variant ``hamiltonian`` gives in place of bands where its manifest's solver is ``lapack``.

``H(k)[ia, jb] = on_site + sum over neighbours j of i of exp(2 pi i k.R) hoppings``, where R is ``neighbor_image`` and k fractional.
Its eigenvalues in ascending order, merged with the flat levels, are the bands.
"""
OVERLAPS: Final = (
    TensorSpec(
        "overlaps",
        ("B", "N", "D", N_ORBITALS, N_ORBITALS),
        "float32",
        "",
        "of the orbitals of the atom (rows) with those of the neighbour in its cell (columns)",
        0.0,
    ),
)
"""What a model gives besides where its orbitals overlap: ``S(k)`` is its sum as ``H(k)`` is that of the hoppings, without one of an
atom with itself, and the bands are eigenvalues of ``H - (S H + H S) / 2``."""
HAMILTONIAN_NAMES: Final = tuple(tensor.name for tensor in HAMILTONIAN)
TENSORS: Final[Mapping[str, TensorSpec]] = MappingProxyType({tensor.name: tensor for tensor in (*INPUTS, *OUTPUTS)})
"""Inputs and outputs by name."""
DTYPES: Final[Mapping[str, Dtype]] = MappingProxyType({tensor.name: tensor.dtype for tensor in (*INPUTS, *OUTPUTS)})
INPUT_NAMES: Final = tuple(tensor.name for tensor in INPUTS)
REQUIRED_INPUTS: Final = tuple(tensor.name for tensor in INPUTS if not tensor.optional)
_OF_MESH: Final = ("mesh_kpoints", "mesh_weights")
INVERSION: Final = ("inversion_partner", "inversion_image")
"""Inputs of the variant ``hamiltonian`` whose solver is ``graph``: with them, matrices of crystals with a centre are real."""
HAMILTONIAN_INPUTS: Final = ("neighbor_direction", *_OF_MESH, *INVERSION)
"""Inputs that only engines of the variant ``hamiltonian`` take: recipes make them whose rule is ``bonds``, and that have a mesh."""
NETWORK_INPUTS: Final = tuple(name for name in INPUT_NAMES if name not in INVERSION)
"""What a network of that variant is traced with; a solver takes the others."""
GRAPH_INPUTS: Final = tuple(name for name in INPUT_NAMES if name not in HAMILTONIAN_INPUTS)
"""All other inputs: what variants take that learn bands themselves."""
OUTPUT_NAMES: Final = tuple(tensor.name for tensor in OUTPUTS)


def known_sizes(manifest: Manifest) -> dict[str, int]:
    """Sizes by symbol that a model has fixed; those that it leaves free are missing."""
    sizes = {"K": manifest.recipe.kpath.n_kpoints, "n_bands": manifest.bands.n_bands}
    return sizes if manifest.variant in ANY_SLOTS else {"D": manifest.recipe.graph.n_neighbors} | sizes


def require_names(manifest: Manifest, *, name: str) -> None:
    """Refuse a manifest whose inputs and outputs are none of this contract.

    Args:
        manifest: of a model.
        name: of its file, for messages.

    Raises:
        ManifestError: ``manifest-invalid``, for a manifest without band energies, or whose recipe makes none of an input.
        EngineError: ``engine-mismatch``, for a name that this version does not know.
    """
    if BAND_ENERGIES not in manifest.outputs:
        raise ManifestError("manifest-invalid", f"{name}: the manifest lists no output {BAND_ENERGIES}")
    for what, listed, known in (("input", manifest.inputs, INPUT_NAMES), ("output", manifest.outputs, OUTPUT_NAMES)):
        for tensor in listed:
            if tensor not in known:
                raise EngineError(
                    "engine-mismatch",
                    f"{name}: this version knows no {what} {tensor}, which the model's manifest lists; known: {', '.join(known)}",
                )
    recipe = manifest.recipe
    makes = dict.fromkeys(("neighbor_direction", *INVERSION), recipe.graph.rule == "bonds")
    makes |= dict.fromkeys(_OF_MESH, recipe.mesh is not None)
    for tensor in manifest.inputs:
        if not makes.get(tensor, True):
            raise ManifestError("manifest-invalid", f"{name}: the manifest lists {tensor}, an input that its recipe does not make")


def uses_centres(manifest: Manifest) -> bool:
    """Whether an engine is told centres of inversion."""
    return set(INVERSION) <= set(manifest.inputs)


def hamiltonian_given(manifest: Manifest) -> tuple[TensorSpec, ...]:
    """The tensors between network and solver of a model of the variant ``hamiltonian``."""
    return (*HAMILTONIAN[:-1], *OVERLAPS, HAMILTONIAN[-1]) if manifest.model.get("overlap") else HAMILTONIAN


def given_by(manifest: Manifest) -> tuple[TensorSpec, ...]:
    """What the file of an engine gives: a Hamiltonian where LAPACK solves it, else what its manifest lists."""
    if manifest.solver == "lapack":
        return hamiltonian_given(manifest)
    return tuple(TENSORS[name] for name in manifest.outputs if name in TENSORS)


def described(manifest: Manifest, *, name: str) -> dict[str, list[dict[str, Any]]]:
    """The contract of one model as plain JSON values: ``inputs`` and ``outputs``, each with the fields of its `TensorSpec`.

    ``shape`` is `TensorSpec.dims` with the sizes that the model has fixed. With the solver ``lapack`` there is ``hamiltonian``:
    what the model itself gives.

    Raises:
        ManifestError, EngineError: as `require_names`.
    """
    require_names(manifest, name=name)
    sizes, tables = known_sizes(manifest), {"inputs": manifest.inputs, "outputs": manifest.outputs}
    found = {what: [TENSORS[tensor] for tensor in tensors] for what, tensors in tables.items()}
    if manifest.solver == "lapack":
        found["hamiltonian"] = list(hamiltonian_given(manifest))
    return {what: [dataclasses.asdict(one) | {"shape": one.shape(sizes)} for one in tensors] for what, tensors in found.items()}
