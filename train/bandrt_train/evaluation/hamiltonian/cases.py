"""Cases: labelled crystals on the path that an engine answers on, with how their bands are counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bandrt.computed.around_fermi import select_bands
from bandrt.computed.documents import BandDocument
from bandrt.computed.lines import document_crystal
from bandrt.errors import InputError
from bandrt.features import Features, featurize_cell
from bandrt.kpaths.mesh import Mesh, mesh
from bandrt.manifest import BandRule
from bandrt.recipe import Recipe
from bandrt.symmetry.standard_cell import standardize
from bandrt_train.data.dataset import Refusal
from bandrt_train.data.hamiltonian.bands import LAST_AND_NEXT, filled_bands
from bandrt_train.data.recipes import HAMILTONIAN_MESH
from bandrt_train.data.sources.folders import find_documents
from bandrt_train.data.targets import Targets, make_targets
from bandrt_train.model.hamiltonian.pairs import Pairs, find_pairs

RULE = BandRule()
"""The six bands that are scored."""


@dataclass(frozen=True, eq=False)
class Case:
    """One crystal to be scored on.

    Attributes:
        id: of its document.
        formula: reduced, in Hill order.
        features: of its standard primitive cell, with the path.
        pairs: of the same cell.
        mesh: on which engines fill its bands.
        targets: its six bands on the path.
        n_above: how many bands above half filling are not empty, by the label: what tells the window without the model.
    """

    id: str
    formula: str
    features: Features
    pairs: Pairs
    mesh: Mesh
    targets: Targets
    n_above: int


def read_cases(
    sources: Sequence[Path], recipe: Recipe, *, wanted: Callable[[str], bool] = lambda formula: True
) -> Iterator[Case | Refusal]:
    """Read every document under files and folders; of several with one id the first that can be used is.

    Args:
        sources: see `bandrt_train.data.sources.folders`.
        recipe: of the features.
        wanted: whether to look at a reduced formula.

    Raises:
        NotFoundError: ``file-not-found``.
        InputError: ``no-input``.
    """
    used: set[str] = set()
    for source in find_documents(sources):
        identifier = source.id
        try:
            document = source.read().document
            identifier = document.id
            if not wanted(document_crystal(document).hill_formula):
                continue
            if identifier in used:
                yield Refusal(identifier, source.name, "read", "duplicate-id", f"{source.name}: {identifier} was there already")
                continue
            case = make_case(document, recipe)
        except InputError as error:
            yield Refusal(identifier, source.name, error.stage, error.code, error.message)
            continue
        used.add(identifier)
        yield case


def usable_cases(
    sources: Sequence[Path], recipe: Recipe, refusals: list[Refusal], *, wanted: Callable[[str], bool] = lambda formula: True
) -> Iterator[Case]:
    """Read as `read_cases` does; what cannot be used is appended to `refusals` as it is met."""
    for made in read_cases(sources, recipe, wanted=wanted):
        if isinstance(made, Refusal):
            refusals.append(made)
        else:
            yield made


def make_case(document: BandDocument, recipe: Recipe) -> Case:
    """Put a document on the path.

    Raises:
        InputError: what `make_targets` and `filled_bands` raise.
    """
    cell = standardize(document_crystal(document), recipe.symmetry, name=document.id)
    features = featurize_cell(cell, recipe, name=document.id)
    selected, pairs = select_bands(document, LAST_AND_NEXT), find_pairs(cell.crystal)
    n_nonempty = selected.first_band + 1
    return Case(
        id=document.id,
        formula=cell.crystal.hill_formula,
        features=features,
        pairs=pairs,
        mesh=mesh(cell.crystal.lattice, cell.rotations, HAMILTONIAN_MESH),
        targets=make_targets(document, cell, features.kpath, RULE),
        n_above=n_nonempty - filled_bands(document, n_nonempty, selected.is_metal, pairs),
    )
