"""Warnings: what a prediction rests on that its model has not seen or does not describe."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

from bandrt.crystal import Crystal
from bandrt.elements import SYMBOLS
from bandrt.manifest import TrainingDomain

OPEN_D_SHELL = frozenset(range(23, 29))
"""V to Ni: most of their crystals are magnetic, and so many that they decide how far off an engine without spin is."""
MAGNETIC = OPEN_D_SHELL | frozenset(range(58, 71)) | frozenset(range(92, 103))
"""V to Ni, and lanthanides and actinides with an open f shell: often magnetic, while bands here are not spin-polarised."""
SPIN_ORBIT_FROM = 72
"""Atomic number (hafnium) from which spin-orbit coupling, absent here, moves bands by tenths of an eV."""

NETWORK_CODES = frozenset({"layered", "chain", "molecular"})
"""Warnings of crystals that bonds do not hold together in three dimensions."""
NETWORK_FACTOR = 1.5
"""Of their error to that of other crystals of which an engine expects the same. Measured on crystals that the shipped engine was
not trained on: the energies of 11 of them err 1.52 times what it expects on average, those of 60 others 0.99 times (most of this is
graphite, with 5.3 eV; the medians are 0.87 and 0.76). Packed crystals all: with vacuum around the pieces, nothing was measured."""
ODD_ELECTRONS = "odd-electrons"
"""The warning of a gap where electrons leave a band half full. Of 1,062 such crystals of the Materials Project without elements of
`MAGNETIC` 31 have a gap, nearly all with a 4d or 5d element: that of a magnet, which no engine here describes."""
NOTHING_EXPECTED = frozenset({"isolated-atom", "close-atoms", ODD_ELECTRONS})
"""Warnings of crystals of which no error can be expected."""
NOTHING_IN_WORDS = "of close or isolated atoms, or a gap in spite of a half full band, nothing can be expected"
"""The same for people."""
OF_READING = frozenset({"damaged-file", "moments-dropped", "charge-dropped", "symmetry-not-stated", "assumed-setting"})
"""Warnings of how a crystal was read, which a cell that was stored can no longer tell."""
NO_INFERENCE = "no-inference"
"""The warning of every prediction of the engine ``null``."""

_HANDED_OVER = "handed-over"


def expected_error(uncertainty_ev: float, codes: Collection[str]) -> float:
    """The error to expect of a crystal's energies in the light of its warnings.

    Args:
        uncertainty_ev: what the engine says, eV, which has seen only dense crystals.
        codes: of the warnings, each perhaps with what it is about: ``close-atoms:H-H``.

    Returns:
        eV; larger for crystals that are not bonded in three dimensions, nan where nothing can be said.
    """
    kinds = codes_of(codes)
    if kinds & NOTHING_EXPECTED:
        return math.nan
    return uncertainty_ev * NETWORK_FACTOR if kinds & NETWORK_CODES else uncertainty_ev


def warnings(crystal: Crystal, domain: TrainingDomain) -> tuple[str, ...]:
    """Say why a prediction for this crystal deserves less trust, as short codes.

    Args:
        crystal: the standard primitive cell.
        domain: what the model was trained on; a domain that lists nothing gives no warnings about novelty.

    Returns:
        ``unseen-element:Pu``, ``more-atoms:57`` (than any training crystal), ``magnetic:Fe``, ``spin-orbit:Pb``; of what only
        crystals had whose gap alone was learned, ``gap-only-element:Zr`` and ``gap-only-atoms:20``.
    """
    numbers = sorted(set(crystal.atomic_numbers.tolist()))
    new = [SYMBOLS[z] for z in numbers if domain.elements and SYMBOLS[z] not in domain.elements]
    codes = [f"{'gap-only' if symbol in domain.gap_elements else 'unseen'}-element:{symbol}" for symbol in new]
    if domain.max_atoms and crystal.n_atoms > domain.max_atoms:
        codes.append(f"{'gap-only' if crystal.n_atoms <= domain.gap_max_atoms else 'more'}-atoms:{crystal.n_atoms}")
    codes += [f"magnetic:{SYMBOLS[z]}" for z in numbers if z in MAGNETIC]
    codes += [f"spin-orbit:{SYMBOLS[z]}" for z in numbers if z >= SPIN_ORBIT_FROM]
    return tuple(codes)


def of_filling(crystal: Crystal, *, is_metal: bool) -> tuple[str, ...]:
    """Say where a gap cannot be without magnetism: ``odd-electrons``, where electrons fill no whole number of bands.

    Of crystals with an element that is often magnetic nothing is said, as ``magnetic`` is: where 4f electrons belong to the core,
    those that fill bands may be even, though the atomic numbers add up to an odd number.

    Args:
        crystal: the standard primitive cell.
        is_metal: as predicted.
    """
    numbers = crystal.atomic_numbers
    may_be_magnetic = not MAGNETIC.isdisjoint(numbers.tolist())
    return (ODD_ELECTRONS,) if not is_metal and not may_be_magnetic and int(numbers.sum()) % 2 else ()


def little_known(training: TrainingDomain, max_atomic_number: int) -> tuple[str, ...]:
    """Elements that a model without spin had better leave to another one: V to Ni, and those of which it has seen no bands.

    Args:
        training: what it was trained on; without elements, nothing is said of what it has not seen.
        max_atomic_number: of the heaviest element that it takes.
    """
    seen = training.elements or SYMBOLS
    numbers = range(1, max_atomic_number + 1)
    return tuple(SYMBOLS[z] for z in numbers if z in OPEN_D_SHELL or SYMBOLS[z] not in seen)


def code_of(warning: str) -> str:
    """A warning without what it is about: ``magnetic`` for ``magnetic:Fe``."""
    return warning.partition(":")[0]


def codes_of(warnings: Iterable[str]) -> frozenset[str]:
    """The codes of some warnings."""
    return frozenset(map(code_of, warnings))


def of_reading(codes: Iterable[str]) -> tuple[str, ...]:
    """Those of some warnings that say how a crystal was read: the notes of the crystal that it was."""
    return tuple(code for code in codes if code_of(code) in OF_READING)


def with_reading(codes: Sequence[str], notes: Iterable[str]) -> tuple[str, ...]:
    """Warnings of a prediction, of which those of how the crystal was read are these notes."""
    others = [code for code in codes if code_of(code) not in OF_READING]
    of_bonds = (place for place, code in enumerate(others) if code_of(code) in NETWORK_CODES | NOTHING_EXPECTED)
    place = next(of_bonds, len(others))  # what a crystal has of itself: notes first
    return (*others[:place], *notes, *others[place:])


def handed_over(engine: str) -> str:
    """The warning of a prediction that an engine left to the one of this name."""
    return f"{_HANDED_OVER}:{engine}"


def is_handed_over(codes: Collection[str]) -> bool:
    """Whether warnings say that another engine than that of the run made a prediction."""
    return _HANDED_OVER in codes_of(codes)
