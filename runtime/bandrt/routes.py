"""Routes: by which recipe a crystal is featurised, and by which of two engines it is predicted.

A manifest may hand crystals of some elements over to an engine that comes with this package (`bandrt.manifest.HandOver`). Which
way a crystal goes depends on its elements alone, so that whoever has the crystal knows the way: nothing else is written down,
and batches, in which energies depend on the company, are those of each engine alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bandrt.contract import UNCERTAINTY
from bandrt.crystal import Crystal
from bandrt.domain import handed_over
from bandrt.elements import ATOMIC_NUMBERS
from bandrt.engine import ONNX_SUFFIX, SHIPPED_ENGINES, read_manifest
from bandrt.engine.onnx.slices import peak_bytes
from bandrt.errors import BandrtError, EngineError, InputError
from bandrt.features import Features, featurize_crystals
from bandrt.manifest import HandOver, Manifest
from bandrt.quoting import quoted
from bandrt.recipe import Recipe
from bandrt.results.prediction import Prediction, Result

_ELSEWHERE = InputError("hand-over-unavailable", "takes the other route", stage="graph")
"""Stands for crystals of the other route, so that those of this one keep their places, which `bandrt.watch` tells."""


@dataclass(frozen=True)
class Route:
    """How crystals come to an engine; plain values, which worker processes take.

    Attributes:
        recipe: the choices the engine was trained with.
        max_atoms: of the largest primitive cell that the engine holds; None: any.
        left: atomic numbers of elements whose crystals take the other route.
        other: how those come to the engine that they are handed over to; None: there is no other engine.
    """

    recipe: Recipe
    max_atoms: int | None = None
    left: frozenset[int] = frozenset()
    other: Route | None = None

    @classmethod
    def to(cls, manifest: Manifest, other: Manifest | None = None) -> Route:
        """The route to an engine.

        Args:
            manifest: of the engine.
            other: of the one that it hands crystals over to; None keeps them all.
        """
        own = cls(manifest.recipe, manifest.profile.max_atoms)
        if other is None or manifest.hand_over is None:
            return own
        left = frozenset(ATOMIC_NUMBERS[symbol] for symbol in manifest.hand_over.elements)
        return dataclasses.replace(own, left=left, other=cls.to(other))

    def leaves(self, crystal: Crystal) -> bool:
        """Whether a crystal takes the other route."""
        return self.other is not None and not self.left.isdisjoint(crystal.atomic_numbers.tolist())

    def featurize(self, crystals: Sequence[Crystal | InputError], *, names: Sequence[str]) -> list[Features | InputError]:
        """Features of crystals, each by the recipe of the engine that predicts it, or why it cannot be used.

        Args:
            crystals: errors among them are given back as they are.
            names: what to call each in an error.
        """
        if self.other is None:
            outcomes = featurize_crystals(crystals, self.recipe, names=names)
            return [within_size(outcome, self.max_atoms, name=name) for outcome, name in zip(outcomes, names, strict=True)]
        left = [isinstance(crystal, Crystal) and self.leaves(crystal) for crystal in crystals]
        kept = [_ELSEWHERE if away else crystal for away, crystal in zip(left, crystals, strict=True)]
        own = dataclasses.replace(self, other=None).featurize(kept, names=names)
        if not any(left):
            return own
        given = [crystal if away else _ELSEWHERE for away, crystal in zip(left, crystals, strict=True)]
        others = self.other.featurize(given, names=names)
        return [theirs if away else ours for away, theirs, ours in zip(left, others, own, strict=True)]


def other_engine(path: Path, manifest: Manifest, shipped: Mapping[str, Path] = SHIPPED_ENGINES) -> Path | None:
    """The engine that another one hands crystals over to; None where it keeps them all.

    Args:
        path: the engine that hands over.
        manifest: of it.
        shipped: files by the names of engines.

    Raises:
        EngineError: ``hand-over-unavailable``, where there is no such engine, it cannot be read, or its bands are others.
    """
    rule = manifest.hand_over
    if rule is None:
        return None
    if rule.engine not in shipped:
        raise unavailable(path, rule, f"this bandrt has none of that name, only {', '.join(shipped)}")
    try:
        other = read_manifest(shipped[rule.engine])
    except BandrtError as error:
        raise unavailable(path, rule, error.message) from error
    (ours_below, ours_above), (theirs_below, theirs_above) = _sides(manifest), _sides(other)
    for what, ours, theirs in (
        ("valence bands", ours_below, theirs_below),
        ("conduction bands", ours_above, theirs_above),
        ("k-points", manifest.recipe.kpath.n_kpoints, other.recipe.kpath.n_kpoints),
    ):
        if ours != theirs:
            raise unavailable(path, rule, f"it gives {theirs} {what}, this engine {ours}")
    if UNCERTAINTY in manifest.outputs and UNCERTAINTY not in other.outputs:
        raise unavailable(path, rule, "it does not estimate its errors, as this engine does")
    return shipped[rule.engine]


def _sides(manifest: Manifest) -> tuple[int, int]:
    """Bands below and above the Fermi level that decide on gap and metal, which both engines must give."""
    rule = manifest.bands
    window = range(rule.n_bands)[rule.window]
    return rule.n_valence - window.start, window.stop - rule.n_valence


def other_device(path: Path, device: str | None) -> str | None:
    """Where the other engine, an ONNX file, runs: where this one does; beside a plan, on the CPU."""
    return device if path.suffix.lower() == ONNX_SUFFIX else None


def unavailable(path: Path, rule: HandOver, why: str) -> EngineError:
    """The error of an engine whose other engine cannot be had."""
    some = f"{', '.join(rule.elements[:4])}{' and others' if len(rule.elements) > 4 else ''}"
    return EngineError(
        "hand-over-unavailable",
        f"{path}: leaves crystals with {some} to the engine {quoted(rule.engine)}, and {why}; mend that, or let it predict them"
        " itself: --no-hand-over, in Python hand_over=False",
    )


def taken_over(result: Result, manifest: Manifest) -> Result:
    """A result of the other engine as one of the engine that handed the crystal over, with a warning.

    A table of results has one rule of metals, and an error to expect of all or of none: those of the engine that handed over. What
    the other engine calls an insulator by its own rule stays one: its zero is put at mid-gap, where no tolerance matters. A metal
    whose halves do not overlap stays one as long as the tolerance of the engine that handed over is no larger. Bands are those that
    the other engine has, though more may have been asked for.

    Args:
        result: of the other engine.
        manifest: of the engine that handed over.
    """
    if not isinstance(result, Prediction) or manifest.hand_over is None:
        return result
    bands = result.band_structure
    rule = dataclasses.replace(bands.rule, metal_tolerance_ev=manifest.bands.metal_tolerance_ev)
    energies = bands.energies if bands.is_metal else bands.energies - np.float32(bands.efermi)
    return dataclasses.replace(
        result,
        band_structure=dataclasses.replace(bands, energies=energies, rule=rule),
        warnings=(handed_over(manifest.hand_over.engine), *result.warnings),
        uncertainty_ev=result.uncertainty_ev if UNCERTAINTY in manifest.outputs else None,
    )


def within_size(outcome: Features | InputError, max_atoms: int | None, *, name: str) -> Features | InputError:
    """Give back the features of a crystal, or ``too-many-atoms`` if a model has no room for it; errors as they are."""
    if (n_atoms := _n_beyond(outcome, max_atoms)) is None:
        return outcome
    return _too_many(n_atoms, f"this engine holds at most {max_atoms}; export it again with --max-atoms {n_atoms}", name)


def within_memory(outcome: Features | InputError, memory_atoms: int | None, *, name: str) -> Features | InputError:
    """Give back the features of a crystal, or ``too-many-atoms`` if it would take more memory than it may; errors as they are."""
    if (n_atoms := _n_beyond(outcome, memory_atoms)) is None:
        return outcome
    mend = f"--max-atoms {n_atoms} takes it, with about {peak_bytes(n_atoms) / 1e9:.1f} GB"
    return _too_many(n_atoms, f"at most {memory_atoms} are predicted, so that memory is bounded; {mend}", name)


def _n_beyond(outcome: Features | InputError, most: int | None) -> int | None:
    """How many atoms a primitive cell has, if they are more than so many; None: it is within, or an error."""
    if isinstance(outcome, InputError) or most is None or outcome.crystal.n_atoms <= most:
        return None
    return outcome.crystal.n_atoms


def _too_many(n_atoms: int, why: str, name: str) -> InputError:
    return InputError("too-many-atoms", f"{name}: {n_atoms} atoms in the primitive cell, {why}", stage="batch")
