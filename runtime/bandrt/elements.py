"""Chemical symbols by atomic number."""

from __future__ import annotations

SYMBOLS: tuple[str, ...] = (
    "X",  # 0: padding, never a real atom
    *"H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr".split(),
    *"Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu".split(),
    *"Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr".split(),
    *"Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og".split(),
)
ATOMIC_NUMBERS: dict[str, int] = {symbol: number for number, symbol in enumerate(SYMBOLS) if number}
HYDROGEN_ISOTOPES: dict[str, int] = {"D": 1, "T": 1}
"""Deuterium and tritium as species: bands do not know the mass of a nucleus. A label `T1` is a tetrahedral site."""
MAX_ATOMIC_NUMBER = len(SYMBOLS) - 1
FORMULA_ORDER: dict[str, int] = {
    symbol: rank
    for rank, symbol in enumerate(
        (
            "Fr Cs K Rb Ba Ra Na Sr Li Ca Ac La Tb Yb Ce Pm Pr Nd Sm Eu Gd Dy Y Ho Er Tm Lu Pu Am Bk Cf Cm Es Fm Hf Lr Md "
            "No Th Mg Zr Np Sc U Pa Ta Ti Mn Be Nb Al Tl V Zn Cr Cd In Ga Fe Co Cu Re Si Tc Ni Ag Sn Hg Po Ge Bi B Sb Te Mo "
            "As P At H Ir Os Pd Rn Ru Pt Rh Pb W Au C Se S Xe I Br Kr N Cl O F Ar Bh Cn Db Ds Fl He Hs Lv Mc Mt Ne Nh Og Rf "
            "Rg Sg Ts"
        ).split()
    )
}
"""Elements by Pauling electronegativity, then alphabetically; those without one last."""
