"""The calibration of an engine: what labels are like where it predicts this or that, as a few stored numbers.

It is fitted to crystals of formulas that the engine has not learned (`bandrt train calibrate`), lies beside the engine as JSON, and
is part of its manifest. `bandrt.screening` computes of it the probability that a label meets a criterion:

- Of a crystal that is called a metal, or not, the log-odds that it is a non-metal are a `LinearForm`.
- The gap of a non-metal is the predicted gap, plus a shift, a `LinearForm`, plus a residual: its scale is the exponential of a
  `LinearForm`, its distribution in units of this scale that of the crystals it was fitted to, cut off where the gap would be 0. The
  gap of a non-metal that is called a metal has the distribution of theirs.
- The log-odds that its gap is direct are a `LinearForm` of by how much the predicted direct gap exceeds the gap.

Features of a linear form are ``gap``, ``log_gap``, ``log_gap_squared``, ``log_uncertainty`` and ``log_excess``, see
`bandrt.screening.features`, and the codes of warnings, each 1 where a crystal has such a warning and else 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bandrt.arguments import check_fields, check_text, checked_number, checked_whole, not_allowed
from bandrt.error_codes import WARNINGS

FORMAT_VERSION = 1
MOST_DISPERSION = 100.0
FEATURES = ("gap", "log_gap", "log_gap_squared", "log_uncertainty", "log_excess")
"""What a linear form may weigh, beside warnings."""


@dataclass(frozen=True)
class LinearForm:
    """A constant and the weights of features: ``intercept + sum of weight * feature``."""

    intercept: float
    weights: dict[str, float]

    def __post_init__(self) -> None:
        """Refuse weights of what is neither a feature nor the code of a warning, which would count as 0.

        Raises:
            ArgumentError: ``bad-argument``, naming the weight.
        """
        check_fields(self)
        for name in self.weights:
            if name not in FEATURES and name not in WARNINGS:
                raise not_allowed("weights", name, f"features ({', '.join(FEATURES)}) and codes of warnings")


@dataclass(frozen=True)
class DirectCalibration:
    """Whether gaps of non-metals are direct."""

    n_crystals: int
    """Labelled non-metals of formulas that the engine has not learned, by which it was found out whether it tells."""
    share: float
    """Of all labelled non-metals, those aside that it is tested on, how many have a direct gap."""
    n_labels: int
    """How many these are."""
    log_odds: LinearForm | None = None
    """That a gap is direct; None: what the engine says of it does not tell, beyond chance, and all that is known is the share."""

    def __post_init__(self) -> None:
        check_fields(self)
        checked_whole("n_crystals", self.n_crystals, at_least=0 if self.log_odds is None else 1)
        checked_whole("n_labels", self.n_labels, at_least=1)
        checked_number("share", self.share, at_least=0.0, at_most=1.0)

    @property
    def log_odds_error(self) -> float:
        """By how much the log-odds of all crystals are off together, since so few were fitted to: a standard deviation."""
        n = self.n_labels if self.log_odds is None else self.n_crystals
        share = min(max(self.share, 1.0 / (n + 1)), n / (n + 1))
        return 1.0 / math.sqrt(n * share * (1.0 - share))


@dataclass(frozen=True)
class GapCalibration:
    """How far gaps of an engine are from labels."""

    checkpoint_sha256: str
    """Checksum of the checkpoint of the engine that it was fitted to."""
    hand_over_sha256: str
    """The same of the engine that crystals were handed over to; empty: of none."""
    gaps_sha256: str
    """Checksum of the labelled gaps that it was fitted to."""
    n_crystals: int
    """How many these are."""
    called_metal: LinearForm
    """Log-odds that a crystal that is called a metal is a non-metal."""
    called_nonmetal: LinearForm
    """Log-odds that a crystal that is called a non-metal is one."""
    shift: LinearForm
    """By how much labels of non-metals exceed predictions, eV."""
    log_scale: LinearForm
    """Logarithm of the scale of residuals, in eV."""
    residuals: tuple[float, ...]
    """Quantiles of ``(label - prediction - shift) / scale`` of non-metals, at evenly spaced probabilities from 0 to 1."""
    gaps_of_called_metals: tuple[float, ...]
    """eV: quantiles of the gaps of non-metals that are called metals, at evenly spaced probabilities from 0 to 1."""
    gap_range_ev: tuple[float, ...]
    """The smallest and the largest predicted gap, eV; one beyond has the error of the nearest of them."""
    uncertainty_range_ev: tuple[float, ...] = ()
    """The same of ``uncertainty_ev``; empty for an engine that does not estimate it."""
    log_odds_error: float = 0.0
    """By how much the log-odds of all crystals of a list are off together, because the calibration was fitted to these crystals and
    not to others of the same kind: a standard deviation. Of improbable hits it is the relative error of their expected number."""
    dispersion: float = 1.0
    """How much larger the squared difference of expected and found numbers of hits is than it would be if crystals erred one by
    one, and for `log_odds_error`; at least 1, more where similar crystals err together."""
    direct: DirectCalibration | None = None
    """None: nothing is known of direct gaps."""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        """Refuse what is no calibration.

        Raises:
            ArgumentError: ``bad-argument``, naming the field.
        """
        check_fields(self)
        check_text("checkpoint_sha256", self.checkpoint_sha256)
        checked_whole("format_version", self.format_version, at_least=FORMAT_VERSION, at_most=FORMAT_VERSION)
        checked_whole("n_crystals", self.n_crystals, at_least=1)
        checked_number("log_odds_error", self.log_odds_error, at_least=0.0, at_most=1.0)
        checked_number("dispersion", self.dispersion, at_least=1.0, at_most=MOST_DISPERSION)
        for name in ("residuals", "gaps_of_called_metals"):
            values = getattr(self, name)
            if len(values) < 2 or list(values) != sorted(values):
                raise not_allowed(name, values, "two or more quantiles, ascending")
        for name, lengths in (("gap_range_ev", (2,)), ("uncertainty_range_ev", (0, 2))):
            values = getattr(self, name)
            if len(values) not in lengths or list(values) != sorted(values) or any(value < 0.0 for value in values):
                raise not_allowed(name, values, "the smallest and the largest value, eV")

    def __repr__(self) -> str:
        return f"GapCalibration({self.n_crystals} crystals, {len(self.residuals)} quantiles, dispersion {self.dispersion:.2g})"
