"""Special points and lines of the Brillouin zone for every lattice variation of Setyawan and Curtarolo.

Source: Setyawan & Curtarolo, Comput. Mater. Sci. 49, 299 (2010), Tables 2 to 21 and the paths of their captions.

A point is written as its name and three coordinates, fractional in the reciprocal of the standard primitive cell. A
coordinate is a sum of numbers and of the variation's parameters, so that every point is affine in the parameters and a
table becomes one array, made when first asked for. The lattice parameters a, b, c (Å) and alpha are those of the
conventional cell, except for RHL1 and RHL2, where alpha is the angle of the rhombohedral primitive cell. TRI2a and TRI2b
are cells of the same lattices; `bandrt.kpaths.triclinic` takes TRI2a.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

VariationName = Literal[
    "CUB", "FCC", "BCC", "TET", "BCT1", "BCT2", "ORC", "ORCF1", "ORCF2", "ORCF3", "ORCI", "ORCC", "HEX", "RHL1", "RHL2",
    "MCL", "MCLC1", "MCLC2", "MCLC3", "MCLC4", "MCLC5", "TRI1a", "TRI2a", "TRI1b", "TRI2b",
]  # fmt: skip
Parameters = Callable[[float, float, float, float], tuple[float, ...]]
"""(a, b, c, cos alpha) -> the values of the variation's symbols."""


@dataclass(frozen=True)
class Variation:
    """One table of the paper, as text.

    Attributes:
        points: ``name x y z`` separated by commas.
        path: names in walk order; `|` lifts the pen.
        symbols: the parameters the coordinates speak of.
        parameters: their values, in the order of `symbols`.
    """

    points: str
    path: str
    symbols: str = ""
    parameters: Parameters = lambda a, b, c, cos: ()


@dataclass(frozen=True, eq=False)
class PointTable:
    """One table of the paper, as arrays.

    Attributes:
        labels: name of each point; Γ first, then the plain names on the path, then its subscripted names, both in the order
            the path meets them, then the rest.
        coefficients: (n_points, 3, 1 + n_parameters): a point is ``coefficients @ (1, *parameters)``.
        n_path_points: how many of the points the path visits.
        edges: the lines of the path, pairs of point indices, each once.
        parameters: values of the parameters from (a, b, c, cos alpha).
    """

    labels: tuple[str, ...]
    coefficients: NDArray[np.float64]
    n_path_points: int
    edges: tuple[tuple[int, int], ...]
    parameters: Parameters


@cache
def point_table(name: VariationName) -> PointTable:
    """The arrays of one variation."""
    variation = VARIATIONS[name]
    columns = {"": 0} | {symbol: i for i, symbol in enumerate(variation.symbols.split(), start=1)}
    points = {label: xyz for label, *xyz in (entry.split() for entry in variation.points.split(","))}
    strokes = [stroke.split() for stroke in variation.path.split("|")]
    visited = sorted(dict.fromkeys(["Γ", *chain(*strokes)]), key=lambda label: "_" in label)
    labels = (*visited, *(label for label in points if label not in visited))
    coefficients = np.zeros((len(labels), 3, len(columns)))
    for row, label in enumerate(labels):
        for axis, coordinate in enumerate(points[label]):
            for sign, number, symbol in _TERM.findall(coordinate):
                coefficients[row, axis, columns[symbol]] += (-1.0 if sign == "-" else 1.0) * (_NUMBERS[number] if number else 1.0)
    index = {label: i for i, label in enumerate(labels)}
    edges = dict.fromkeys((index[start], index[end]) for stroke in strokes for start, end in pairwise(stroke))
    return PointTable(labels, coefficients, len(visited), tuple(edges), variation.parameters)


_NUMBERS = {"0": 0.0, "1": 1.0, "½": 1 / 2, "⅓": 1 / 3, "¼": 1 / 4, "¾": 3 / 4, "⅜": 3 / 8, "⅝": 5 / 8}
_TERM = re.compile(r"([+-]?)(?:([01½⅓¼¾⅜⅝])|([δζημνρφψω]))")


def _bct1(a: float, b: float, c: float, cos: float) -> tuple[float, ...]:
    return ((1 + c * c / (a * a)) / 4,)


def _bct2(a: float, b: float, c: float, cos: float) -> tuple[float, ...]:
    return (1 + a * a / (c * c)) / 4, a * a / (2 * c * c)


def _orcf1(a: float, b: float, c: float, cos: float) -> tuple[float, ...]:
    ab, ac = (a / b) ** 2, (a / c) ** 2
    return (1 + ab - ac) / 4, (1 + ab + ac) / 4


def _orcf2(a: float, b: float, c: float, cos: float) -> tuple[float, ...]:
    aa, bb, cc = a * a, b * b, c * c
    return (1 + aa / bb - aa / cc) / 4, (1 + bb / aa - bb / cc) / 4, (1 + cc / bb - cc / aa) / 4


def _orci(a: float, b: float, c: float, cos: float) -> tuple[float, ...]:
    ac, bc = (a / c) ** 2 / 4, (b / c) ** 2 / 4
    return 0.25 + ac, 0.25 + bc, bc - ac, ac + bc


def _orcc(a: float, b: float, c: float, cos: float) -> tuple[float, ...]:
    return ((1 + (a / b) ** 2) / 4,)


def _rhl1(a: float, b: float, c: float, cos: float) -> tuple[float, ...]:
    eta = (1 + 4 * cos) / (2 + 4 * cos)
    return eta, 0.75 - eta / 2


def _rhl2(a: float, b: float, c: float, cos: float) -> tuple[float, ...]:
    eta = (1 + cos) / (1 - cos) / 2  # 1 / (2 tan^2(alpha / 2))
    return eta, 0.75 - eta / 2


def _mcl(a: float, b: float, c: float, cos: float) -> tuple[float, ...]:
    eta = (1 - b * cos / c) / (2 * (1 - cos * cos))
    return eta, 0.5 - eta * c * cos / b


def _mclc12(a: float, b: float, c: float, cos: float) -> tuple[float, ...]:
    sin2 = 1 - cos * cos
    zeta = (2 - b * cos / c) / (4 * sin2)
    psi = 0.75 - (a / b) ** 2 / (4 * sin2)
    return zeta, 0.5 + 2 * zeta * c * cos / b, psi, psi + (0.75 - psi) * b * cos / c


def _mclc34(a: float, b: float, c: float, cos: float) -> tuple[float, ...]:
    mu = (1 + (b / a) ** 2) / 4
    delta = b * c * cos / (2 * a * a)
    zeta = mu - 0.25 + (1 - b * cos / c) / (4 * (1 - cos * cos))
    eta = 0.5 + 2 * zeta * c * cos / b
    return mu, delta, zeta, eta, 1 + zeta - 2 * mu, eta - 2 * delta


def _mclc5(a: float, b: float, c: float, cos: float) -> tuple[float, ...]:
    sin2, ba2 = 1 - cos * cos, (b / a) ** 2
    zeta = (ba2 + (1 - b * cos / c) / sin2) / 4
    eta = 0.5 + 2 * zeta * c * cos / b
    mu = eta / 2 + ba2 / 4 - b * c * cos / (2 * a * a)
    nu = 2 * mu - zeta
    omega = (4 * nu - 1 - ba2 * sin2) * c / (2 * b * cos)
    return zeta, eta, mu, nu, 1 - zeta / ba2, omega, zeta * c * cos / b + omega / 2 - 0.25


_ORCF13 = (
    "Γ 0 0 0, A ½ ½+ζ ζ, A_1 ½ ½-ζ 1-ζ, L ½ ½ ½, T 1 ½ ½, X 0 η η, X_1 1 1-η 1-η, Y ½ 0 ½, Z ½ ½ 0"
)  # fmt: skip
_MCLC12 = (
    "Γ 0 0 0, N ½ 0 0, N_1 0 -½ 0, F 1-ζ 1-ζ 1-η, F_1 ζ ζ η, F_2 -ζ -ζ 1-η, F_3 1-ζ -ζ 1-η, I φ 1-φ ½, I_1 1-φ φ-1 ½,"
    "L ½ ½ ½, M ½ 0 ½, X 1-ψ ψ-1 0, X_1 ψ 1-ψ 0, X_2 ψ-1 -ψ 0, Y ½ ½ 0, Y_1 -½ -½ 0, Z 0 0 ½"
)
_MCLC34 = (
    "Γ 0 0 0, F 1-φ 1-φ 1-ψ, F_1 φ φ-1 ψ, F_2 1-φ -φ 1-ψ, H ζ ζ η, H_1 1-ζ -ζ 1-η, H_2 -ζ -ζ 1-η, I ½ -½ ½, M ½ 0 ½,"
    "N ½ 0 0, N_1 0 -½ 0, X ½ -½ 0, Y μ μ δ, Y_1 1-μ -μ -δ, Y_2 -μ -μ -δ, Y_3 μ μ-1 δ, Z 0 0 ½"
)
_TRI_A = Variation(
    "Γ 0 0 0, L ½ ½ 0, M 0 ½ ½, N ½ 0 ½, R ½ ½ ½, X ½ 0 0, Y 0 ½ 0, Z 0 0 ½",
    "X Γ Y | L Γ Z | N Γ M | R Γ",
)
_TRI_B = Variation(
    "Γ 0 0 0, L ½ -½ 0, M 0 0 ½, N -½ -½ ½, R 0 -½ ½, X 0 -½ 0, Y ½ 0 0, Z -½ 0 ½",
    "X Γ Y | L Γ Z | N Γ M | R Γ",
)

VARIATIONS: dict[VariationName, Variation] = {
    "CUB": Variation("Γ 0 0 0, M ½ ½ 0, R ½ ½ ½, X 0 ½ 0", "Γ X M Γ R X | M R"),
    "FCC": Variation(
        "Γ 0 0 0, K ⅜ ⅜ ¾, L ½ ½ ½, U ⅝ ¼ ⅝, W ½ ¼ ¾, X ½ 0 ½",
        "Γ X W K Γ L U W L K | U X",
    ),
    "BCC": Variation("Γ 0 0 0, H ½ -½ ½, P ¼ ¼ ¼, N 0 0 ½", "Γ H N Γ P H | P N"),
    "TET": Variation(
        "Γ 0 0 0, A ½ ½ ½, M ½ ½ 0, R 0 ½ ½, X 0 ½ 0, Z 0 0 ½",
        "Γ X M Γ Z R A Z | X R | M A",
    ),
    "BCT1": Variation(
        "Γ 0 0 0, M -½ ½ ½, N 0 ½ 0, P ¼ ¼ ¼, X 0 0 ½, Z η η -η, Z_1 -η 1-η η",
        "Γ X M Γ Z P N Z_1 M | X P",
        "η", _bct1,
    ),
    "BCT2": Variation(
        "Γ 0 0 0, N 0 ½ 0, P ¼ ¼ ¼, Σ -η η η, Σ_1 η 1-η -η, X 0 0 ½, Y -ζ ζ ½, Y_1 ½ ½ -ζ, Z ½ ½ -½",
        "Γ X Y Σ Γ Z Σ_1 N P Y_1 Z | X P",
        "η ζ", _bct2,
    ),
    "ORC": Variation(
        "Γ 0 0 0, R ½ ½ ½, S ½ ½ 0, T 0 ½ ½, U ½ 0 ½, X ½ 0 0, Y 0 ½ 0, Z 0 0 ½",
        "Γ X S Y Γ Z U R T Z | Y T | U X | S R",
    ),
    "ORCF1": Variation(_ORCF13, "Γ Y T Z Γ X A_1 Y | T X_1 | X A Z | L Γ", "ζ η", _orcf1),
    "ORCF2": Variation(
        "Γ 0 0 0, C ½ ½-η 1-η, C_1 ½ ½+η η, D ½-δ ½ 1-δ, D_1 ½+δ ½ δ, L ½ ½ ½, H 1-φ ½-φ ½, H_1 φ ½+φ ½,"
        "X 0 ½ ½, Y ½ 0 ½, Z ½ ½ 0",
        "Γ Y C D X Γ Z D_1 H C | C_1 Z | X H_1 | H Y | L Γ",
        "η δ φ", _orcf2,
    ),
    "ORCF3": Variation(_ORCF13, "Γ Y T Z Γ X A_1 Y | X A Z | L Γ", "ζ η", _orcf1),
    "ORCI": Variation(
        "Γ 0 0 0, L -μ μ ½-δ, L_1 μ -μ ½+δ, L_2 ½-δ ½+δ -μ, R 0 ½ 0, S ½ 0 0, T 0 0 ½, W ¼ ¼ ¼,"
        "X -ζ ζ ζ, X_1 ζ 1-ζ -ζ, Y η -η η, Y_1 1-η η -η, Z ½ ½ -½",
        "Γ X L T W R X_1 Z Γ Y S W | L_1 Y | Y_1 Z",
        "ζ η δ μ", _orci,
    ),
    "ORCC": Variation(
        "Γ 0 0 0, A ζ ζ ½, A_1 -ζ 1-ζ ½, R 0 ½ ½, S 0 ½ 0, T -½ ½ ½, X ζ ζ 0, X_1 -ζ 1-ζ 0, Y -½ ½ 0, Z 0 0 ½",
        "Γ X S R A Z Γ Y X_1 A_1 T Y | Z T",
        "ζ", _orcc,
    ),
    "HEX": Variation(
        "Γ 0 0 0, A 0 0 ½, H ⅓ ⅓ ½, K ⅓ ⅓ 0, L ½ 0 ½, M ½ 0 0",
        "Γ M K Γ A L H A | L M | K H",
    ),
    "RHL1": Variation(
        "Γ 0 0 0, B η ½ 1-η, B_1 ½ 1-η η-1, F ½ ½ 0, L ½ 0 0, L_1 0 0 -½, P η ν ν, P_1 1-ν 1-ν 1-η, P_2 ν ν η-1,"
        "Q 1-ν ν 0, X ν 0 -ν, Z ½ ½ ½",
        "Γ L B_1 | B Z Γ X | Q F P_1 Z | L P",
        "η ν", _rhl1,
    ),
    "RHL2": Variation(
        "Γ 0 0 0, F ½ -½ 0, L ½ 0 0, P 1-ν -ν 1-ν, P_1 ν ν-1 ν-1, Q η η η, Q_1 1-η -η -η, Z ½ -½ ½",
        "Γ P Z Q Γ F P_1 Q_1 L Z",
        "η ν", _rhl2,
    ),
    "MCL": Variation(
        "Γ 0 0 0, A ½ ½ 0, C 0 ½ ½, D ½ 0 ½, D_1 ½ 0 -½, E ½ ½ ½, H 0 η 1-ν, H_1 0 1-η ν, H_2 0 η -ν,"
        "M ½ η 1-ν, M_1 ½ 1-η ν, M_2 ½ η -ν, X 0 ½ 0, Y 0 0 ½, Y_1 0 0 -½, Z ½ 0 0",
        "Γ Y H C E M_1 A X H_1 | M D Z | Y D",
        "η ν", _mcl,
    ),
    "MCLC1": Variation(_MCLC12, "Γ Y F L I | I_1 Z F_1 | Y X_1 | X Γ N | M Γ", "ζ η ψ φ", _mclc12),
    "MCLC2": Variation(_MCLC12, "Γ Y F L I | I_1 Z F_1 | N Γ M", "ζ η ψ φ", _mclc12),
    "MCLC3": Variation(_MCLC34, "Γ Y F H Z I F_1 | H_1 Y_1 X Γ N | M Γ", "μ δ ζ η φ ψ", _mclc34),
    "MCLC4": Variation(_MCLC34, "Γ Y F H Z I | H_1 Y_1 X Γ N | M Γ", "μ δ ζ η φ ψ", _mclc34),
    "MCLC5": Variation(
        "Γ 0 0 0, F ν ν ω, F_1 1-ν 1-ν 1-ω, F_2 ν ν-1 ω, H ζ ζ η, H_1 1-ζ -ζ 1-η, H_2 -ζ -ζ 1-η, I ρ 1-ρ ½, I_1 1-ρ ρ-1 ½,"
        "L ½ ½ ½, M ½ 0 ½, N ½ 0 0, N_1 0 -½ 0, X ½ -½ 0, Y μ μ δ, Y_1 1-μ -μ -δ, Y_2 -μ -μ -δ, Y_3 μ μ-1 δ, Z 0 0 ½",
        "Γ Y F L I | I_1 Z H F_1 | H_1 Y_1 X Γ N | M Γ",
        "ζ η μ ν ρ ω δ", _mclc5,
    ),
    "TRI1a": _TRI_A, "TRI2a": _TRI_A, "TRI1b": _TRI_B, "TRI2b": _TRI_B,
}  # fmt: skip
