"""Crystals from the inputs of Quantum ESPRESSO's pw.x."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping

import numpy as np
from gemmi import Element
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.elements import ATOMIC_NUMBERS, HYDROGEN_ISOTOPES, SYMBOLS
from bandrt.errors import InputError
from bandrt.readers.bravais_lattices import BravaisParameters, lattice_vectors
from bandrt.readers.cartesian import fractional
from bandrt.readers.charges import charge_dropped
from bandrt.readers.moments import moments_of_sites
from bandrt.readers.species import species_number, unknown_species
from bandrt.readers.text import check_not_empty, lines_of, real_number

BOHR = 0.529177210903
"""Å. Source: CODATA 2018, as Quantum ESPRESSO 7."""
_CARDS = frozenset(
    "ATOMIC_SPECIES ATOMIC_POSITIONS K_POINTS ADDITIONAL_K_POINTS CELL_PARAMETERS CONSTRAINTS OCCUPATIONS ATOMIC_VELOCITIES"
    " ATOMIC_FORCES SOLVENTS HUBBARD REF_CELL_PARAMETERS PLOT_WANNIER AUTOPILOT TOTAL_CHARGE".split()
)
_PATHS = ("BEGIN", "FIRST_IMAGE", "INTERMEDIATE_IMAGE", "LAST_IMAGE")
"""Marks of inputs of neb.x, which have a crystal for each image."""
_SYSTEM = re.compile(r"^\s*&system\b", re.IGNORECASE | re.MULTILINE)
_KEY = re.compile(r"([a-z]\w*)\s*(?:\(([^()]*)\))?\s*=", re.IGNORECASE)
_STRING = re.compile(r"'[^']*'|\"[^\"]*\"")
_LABEL = re.compile(r"([A-Za-z]{1,2})(?:\d+|[_-].*|[A-Za-z])?")
_FILE_SYMBOL = re.compile(r"(?:\d+[._-]?)?([A-Za-z]{1,2})(?=[._-])", re.ASCII)
"""Of the name of a pseudopotential without its folders: ``06-C.GGA.fhi.UPF``, ``k_pbe_v1.uspp.F.UPF``."""
_PREFIX = re.compile(r"(?:nc|us|sr|fr)[._-](?=[A-Za-z]{1,2}[._-])")
"""How it was made, not strontium or francium."""
_SAME_MASS, _OTHER_MASS = 0.5, 2.0
"""Atomic mass units: a mass so near to that of an element is its own, one so far is not."""
_OPERATIONS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_MAGNETIZATION = re.compile(r"starting_magnetization(?:\(\s*(\d{1,9})\s*\))?")
_REPEATED = re.compile(r"(\d{1,4})\*(.+)")
"""What Fortran takes for several values, ``2*0.5``."""
_NOT_MAGNETISED = (None, 0.0, -1.0, -10000.0)
"""Values of ``tot_magnetization``: the negative ones are how old and new versions say that it is not given."""
_CELL_KEYS = ("a", "b", "c", "cosab", "cosac", "cosbc")


def is_espresso(text: str) -> bool:
    """Whether a text, of which the end may be missing, is an input of pw.x or cp.x; many programs call theirs ``.in``."""
    return _SYSTEM.search(text) is not None


def read_espresso(text: str, *, name: str = "crystal") -> Crystal:
    """Read the crystal of an input of pw.x: any ``ibrav``, or ``CELL_PARAMETERS``, and ``ATOMIC_POSITIONS``.

    Args:
        text: the whole file.
        name: what to call it in an error, usually the file.

    Raises:
        InputError: ``empty-file``, ``not-a-crystal``, ``espresso-syntax``, ``unknown-species``, ``species-mismatch``,
            ``bad-lattice``, or what `Crystal.checked` raises.
    """
    check_not_empty(text, name=name)
    if not is_espresso(text):
        raise InputError("not-a-crystal", f"{name}: no &SYSTEM in it: no input of Quantum ESPRESSO's pw.x")
    try:
        lines = [_bare(line) for line in lines_of(text)]
        system, cards = _system(lines), _cards(lines)
        n_atoms, n_kinds = _whole(system, "nat"), _whole(system, "ntyp")
        alat, lattice = _lattice(system, cards)
        numbers = _species(cards, n_kinds, name)
        unit, rows = _card(cards, "ATOMIC_POSITIONS")
        if len(rows) != n_atoms:
            raise ValueError(f"nat is {n_atoms}, ATOMIC_POSITIONS has {len(rows)} rows")
        strangers = [row[0] for row in rows if row[0] not in numbers]
        if strangers:
            raise ValueError(f"{strangers[0]!r} of ATOMIC_POSITIONS is not in ATOMIC_SPECIES")
        positions = np.array([[_expression(token) for token in _three(row[1:])] for row in rows]).reshape(n_atoms, 3)
        coords = _fractional(positions, unit or "alat", alat, lattice, system, name)
    except (ValueError, LookupError, OverflowError, ZeroDivisionError, RecursionError) as error:
        raise InputError("espresso-syntax", f"{name}: {error}") from None
    crystal = Crystal.checked(lattice, [numbers[row[0]] for row in rows], coords, name=name)
    return crystal.with_notes((*_moments(system, numbers, [row[0] for row in rows]), *charge_dropped(_value(system, "tot_charge"))))


def _moments(system: Mapping[str, str], numbers: Mapping[str, int], labels: list[str]) -> tuple[str, ...]:
    """The warning for atoms whose kind is magnetised at first, or for a cell that is computed with spin without saying where.

    ``noncolin`` alone is no moment: spin-orbit coupling asks for it in crystals that are not magnetic.

    Args:
        system: values of &SYSTEM.
        numbers: atomic number of each label of ATOMIC_SPECIES, in their order.
        labels: of the atoms.
    """
    begun = _starting_magnetizations(system)
    by_label = {label: begun.get(kind, 0.0) for kind, label in enumerate(numbers, start=1)}
    of_cell = _value(system, "tot_magnetization") not in _NOT_MAGNETISED
    with_spin = _value(system, "nspin") == 2.0 and (of_cell or not begun)
    some = [1.0 if by_label[label] else 0.0 for label in labels]  # a fraction of the valence electrons, however small
    return moments_of_sites([numbers[label] for label in labels], [some], total=1.0 if with_spin else 0.0)


def _starting_magnetizations(system: Mapping[str, str]) -> dict[int, float]:
    """Those that are numbers, by the kind of atom, counted from 1; several behind one ``=`` are those of the kinds that follow."""
    found: dict[int, float] = {}
    for key, written in system.items():
        if not (match := _MAGNETIZATION.fullmatch(key)):
            continue
        kind = int(match[1] or 1)
        for word in written.split():
            repeated = _REPEATED.fullmatch(word)
            count, value = (int(repeated[1]), repeated[2]) if repeated else (1, word)
            for _ in range(count):
                found[kind] = _value({key: value}, key) or 0.0
                kind += 1
    return found


def _value(system: Mapping[str, str], key: str) -> float | None:
    """The number under a key; None if it is not there, or no number."""
    try:
        return _number(system[key])
    except (KeyError, ValueError):
        return None


def _bare(line: str) -> str:
    """A line without its comment; marks between quotes begin none."""
    hidden = _STRING.sub(lambda quoted: "'" * len(quoted[0]), line)
    end = min((place for mark in "!#" if (place := hidden.find(mark)) >= 0), default=len(line))
    return line[:end].strip()


def _system(lines: list[str]) -> dict[str, str]:
    """The values of the namelist &SYSTEM by their keys in small letters, ``celldm(1)`` with its number.

    Raises:
        ValueError: it has no end, is there twice, or a key has two values.
    """
    text = _STRING.sub("''", "\n".join(lines))
    if len(_SYSTEM.findall(text)) > 1:
        raise ValueError("&SYSTEM is there twice")
    begin = _SYSTEM.search(text)
    end = re.compile(r"/|&end\b", re.IGNORECASE).search(text, begin.end()) if begin else None
    if begin is None or end is None:
        raise ValueError("&SYSTEM has no end; the file may be cut short")
    inside = text[begin.end() : end.start()]
    keys = list(_KEY.finditer(inside))
    ends = [key.start() for key in keys[1:]] + [len(inside)]
    values: dict[str, str] = {}
    for key, stop in zip(keys, ends, strict=True):
        written, title, index = inside[key.end() : stop].replace(",", " ").split(), key[1].lower(), key[2]
        if title == "celldm":
            found = {f"celldm({place})": value for place, value in enumerate(written, start=int(index or 1))}
        else:
            found = {f"{title}({index})" if index else title: " ".join(written)}
        for name, value in found.items():
            if values.setdefault(name, value) != value:
                raise ValueError(f"{name} has two values, {values[name][:40]} and {value[:40]}")
    return values


def _cards(lines: list[str]) -> dict[str, tuple[str, list[list[str]]]]:
    """Option in small letters, and rows, of each card.

    Raises:
        ValueError: a card is there twice, or there are several images.
    """
    cards: dict[str, tuple[str, list[list[str]]]] = {}
    rows: list[list[str]] | None = None
    for line in lines:
        words = re.sub(r"[{}()]", " ", line).split()
        title = words[0].upper() if words else ""
        if title.startswith(_PATHS):
            raise ValueError(f"{title}: an input of neb.x, which has several crystals")
        if title in _CARDS:
            if title in cards:
                raise ValueError(f"{title} is there twice")
            rows = []
            cards[title] = (" ".join(words[1:]).lower(), rows)
        elif title.startswith("&"):
            rows = None
        elif words and rows is not None:
            rows.append(line.split())
    return cards


def _card(cards: Mapping[str, tuple[str, list[list[str]]]], title: str) -> tuple[str, list[list[str]]]:
    if title not in cards:
        raise ValueError(f"{title} is missing; the file may be cut short")
    return cards[title]


def _three(words: list[str]) -> list[str]:
    if len(words) < 3:
        raise ValueError(f"three numbers are needed, found {' '.join(words)[:40]!r}")
    return words[:3]


def _whole(system: Mapping[str, str], key: str) -> int:
    if not system.get(key, "").isdecimal():
        raise ValueError(f"{key} is {system.get(key, 'missing')}; a whole number is needed")
    return int(system[key])


def _number(token: str) -> float:
    """The number that Fortran reads, 1.0D0 included.

    Raises:
        ValueError: it is none.
    """
    if not math.isfinite(value := real_number(re.sub("[dD]", "e", token))):
        raise ValueError(f"{token[:40]!r} is no number")
    return value


def _expression(token: str) -> float:
    """A coordinate: a number, or a sum, product or quotient of numbers, ``1/3``.

    Raises:
        ValueError: it is neither.
    """
    try:
        return _number(token)
    except ValueError:
        pass
    if not re.fullmatch(r"[-+*/().\deEdD]{1,80}", token):
        raise ValueError(f"{token[:40]!r} is no number")
    try:
        return _evaluated(ast.parse(re.sub(r"(?<=[\d.])[dD](?=[-+\d])", "e", token), mode="eval").body)
    except (SyntaxError, TypeError, KeyError):
        raise ValueError(f"{token[:40]!r} is no number") from None


def _evaluated(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluated(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _evaluated(operand)
        case ast.BinOp(left=left, op=operation, right=right):
            return _OPERATIONS[type(operation)](_evaluated(left), _evaluated(right))
    raise TypeError(node)


def _lattice(system: Mapping[str, str], cards: Mapping[str, tuple[str, list[list[str]]]]) -> tuple[float, NDArray[np.float64]]:
    """The unit of length ``alat``, 0 where there are two, and the lattice vectors, (3, 3) rows, in Å.

    Raises:
        ValueError: they are given twice, or not at all.
    """
    if not re.fullmatch(r"-?\d+", system.get("ibrav", "")):
        raise ValueError(f"ibrav is {system.get('ibrav', 'missing')}; a whole number is needed")
    if _number(system.get("space_group", "0")) != 0.0:
        raise ValueError("space_group: the atoms that symmetry makes are not in the file; list all of the cell instead")
    ibrav, parameters = int(system["ibrav"]), _parameters(system)
    if ibrav != 0:
        if "CELL_PARAMETERS" in cards:
            raise ValueError(f"ibrav = {ibrav} and CELL_PARAMETERS are both there; choose one")
        return parameters.a, lattice_vectors(ibrav, parameters)
    unit, rows = _card(cards, "CELL_PARAMETERS")
    if len(rows) != 3 or any(len(row) != 3 for row in rows):
        raise ValueError("CELL_PARAMETERS: three rows of three numbers are needed")
    units = {"bohr": BOHR, "angstrom": 1.0, "alat": parameters.a, "": parameters.a or BOHR}
    if not units.get(unit):
        raise ValueError(f"CELL_PARAMETERS {unit}: alat needs celldm(1) or A, and only bohr and angstrom need nothing")
    lattice = np.array([[_number(token) for token in row] for row in rows]) * units[unit]
    if not parameters.a:
        return math.hypot(*lattice[0].tolist()), lattice
    return (parameters.a if unit in ("alat", "") else 0.0), lattice


def _parameters(system: Mapping[str, str]) -> BravaisParameters:
    """Lengths and cosines from ``celldm`` or from A, B, C and so on.

    Raises:
        ValueError: from both, or a number that is none.
    """
    by_number = {place: _number(system[f"celldm({place})"]) for place in range(1, 7) if f"celldm({place})" in system}
    by_letter = {key: _number(system[key]) for key in _CELL_KEYS if key in system}
    if any(by_number.values()) and any(by_letter.values()):
        raise ValueError("celldm and A, B, C are both there; choose one")
    if any(by_letter.values()):
        a, b, c, cos_ab, cos_ac, cos_bc = (by_letter.get(key, 0.0) for key in _CELL_KEYS)
        return BravaisParameters(a, b, c, cos_bc, cos_ac, cos_ab)
    length, b, c, fourth, fifth, sixth = (by_number.get(place, 0.0) for place in range(1, 7))
    a = length * BOHR
    if system["ibrav"] in ("14", "0"):
        return BravaisParameters(a, a * b, a * c, fourth, fifth, sixth)
    if sixth:
        raise ValueError(f"celldm(6) means nothing with ibrav = {system['ibrav']}")
    return BravaisParameters(a, a * b, a * c, 0.0, fifth, fourth)


def _species(cards: Mapping[str, tuple[str, list[list[str]]]], n_kinds: int, name: str) -> dict[str, int]:
    """Atomic number of each label of ATOMIC_SPECIES."""
    rows = _card(cards, "ATOMIC_SPECIES")[1]
    if len(rows) != n_kinds:
        raise ValueError(f"ntyp is {n_kinds}, ATOMIC_SPECIES has {len(rows)} rows")
    numbers: dict[str, int] = {}
    for row in rows:
        if row[0] in numbers:
            raise ValueError(f"ATOMIC_SPECIES has {row[0]} twice")
        numbers[row[0]] = _element(row[0], row[1] if len(row) > 1 else "", row[2] if len(row) > 2 else "", name)
    return numbers


def _element(label: str, mass: str, file_name: str, name: str) -> int:
    """Atomic number of ``Fe``, ``FE``, ``Fe1``, ``O_h`` or ``Ou``; where that leaves a choice, the pseudopotential's settles it.

    Raises:
        InputError: ``unknown-species``, or ``species-mismatch`` where the pseudopotential, or of two choices the mass, is that of
            another element.
    """
    match = _LABEL.fullmatch(label)
    letters = match[1] if match else ""
    number = ATOMIC_NUMBERS.get(letters.capitalize(), 0) or HYDROGEN_ISOTOPES.get(label, 0)
    has_tag = len(letters) == 2 and letters == label  # perhaps: the second letter of Ou tells this oxygen from others
    first = ATOMIC_NUMBERS.get(letters[0].upper(), 0) if has_tag else 0
    candidates = [candidate for candidate in (number, first) if candidate]
    of_file = _number_of_file(file_name)
    if of_file in candidates:
        return of_file
    if of_file and candidates:
        raise InputError("species-mismatch", f"{name}: {label} has the pseudopotential {file_name} of {SYMBOLS[of_file]}; mend one")
    if not candidates or (number and not species_number(letters)):  # CO: cobalt, or the carbon of a group
        raise unknown_species(label, name=name, site="ATOMIC_SPECIES")
    if len(candidates) > 1 and _is_mass_of(mass, *reversed(candidates)):
        raise InputError("species-mismatch", f"{name}: {label} has the mass {mass} of {SYMBOLS[first]}; mend one of them")
    return candidates[0]


def _number_of_file(file_name: str) -> int:
    """Atomic number that the name of a pseudopotential begins with; 0 if it begins otherwise."""
    base = _PREFIX.sub("", re.split(r"[/\\]", file_name)[-1], count=1)
    found = _FILE_SYMBOL.match(base)
    return ATOMIC_NUMBERS.get(found[1].capitalize(), 0) if found else 0


def _is_mass_of(mass: str, number: int, other: int) -> bool:
    """Whether a mass is that of the first of two elements; many inputs have 1.0 or 0 for all, which is none."""
    try:
        written = _number(mass)
    except ValueError:
        return False
    near, far = (abs(written - float(Element(SYMBOLS[one]).weight)) for one in (number, other))
    return written > _OTHER_MASS and near < _SAME_MASS and far > _OTHER_MASS


def _fractional(
    positions: NDArray[np.float64], unit: str, alat: float, lattice: NDArray[np.float64], system: Mapping[str, str], name: str
) -> NDArray[np.float64]:
    """Fractional coordinates, (n_atoms, 3), of positions in the unit of ATOMIC_POSITIONS."""
    if unit == "crystal":
        if system["ibrav"] == "-13":
            raise ValueError("ibrav = -13 has other axes since version 6.5, which positions in crystal depend on; use ibrav = 0")
        return positions
    if unit == "alat" and not alat:
        raise ValueError("ATOMIC_POSITIONS alat: celldm(1) or A is one unit of length, CELL_PARAMETERS another; remove the first")
    lengths = {"alat": alat, "bohr": BOHR, "angstrom": 1.0}
    if unit not in lengths:
        raise ValueError(f"ATOMIC_POSITIONS {unit}: list all atoms of the cell in alat, bohr, angstrom or crystal")
    return fractional(positions * lengths[unit], lattice, name=name)
