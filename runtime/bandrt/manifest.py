"""The manifest: what a model is, what it must be fed, what it was trained on and how it was verified.

It travels with every artefact: in the ONNX ``metadata_props`` under `METADATA_KEY`, beside a plan as ``model.plan.json``,
and its recipe inside every checkpoint. Its calibration alone may lie beside the engine, so that it can be fitted again without a
change of the engine. It is JSON, checked field by field before the first number is computed.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from bandrt.arguments import check_fields, check_kind, check_text, checked_number, checked_whole, not_allowed
from bandrt.calibration import GapCalibration
from bandrt.content_checksum import checked
from bandrt.elements import ATOMIC_NUMBERS
from bandrt.errors import ManifestError
from bandrt.quoting import quoted, shortened, with_article
from bandrt.recipe import Recipe
from bandrt.typed_values import from_mapping, parsed

FORMAT_VERSION = 1
METADATA_KEY = "bandrt"
WINDOW_HALF = 3
"""Bands on each side of the Fermi level that decide on gap and metal, whatever else is predicted."""
MAX_BANDS = 1000
"""Bands that may be asked for: of each, 512 crystals take 0.5 MB."""
ZERO_GAP_EV = 1e-3
"""eV: a gap of no more is none, and a band that reaches no further below the Fermi level is empty. Where symmetry makes bands
touch, as in graphene, either is exactly 0, and rounding would decide: of eigenvalues in fp32, 1e-4 eV."""
MAX_TOLERANCE_EV = 10.0
"""eV: more than that would call nothing a metal."""

Variant = Literal["paper", "fourier", "released", "bloch", "hamiltonian"]
Precision = Literal["fp32", "fp16"]
Solver = Literal["graph", "lapack"]


@dataclass(frozen=True)
class BandRule:
    """Which bands are predicted and when a crystal is called a metal.

    A crystal is a metal when ``min_k E_conduction - max_k E_valence`` is `ZERO_GAP_EV` at most, or when a band of its `window`
    crosses zero by more than `metal_tolerance_ev` on both sides; otherwise that is its gap. Bands beyond the window, of which there
    may be any number, change neither.
    """

    n_bands: int = 6
    n_valence: int = 3
    """The lower bands; band ``n_valence`` (from 1) is the highest nonempty one."""
    metal_tolerance_ev: float = 0.1

    def __post_init__(self) -> None:
        n_bands = checked_whole("n_bands", self.n_bands, at_least=2)
        object.__setattr__(self, "n_bands", n_bands)
        object.__setattr__(self, "n_valence", checked_whole("n_valence", self.n_valence, at_least=1, at_most=n_bands - 1))
        tolerance = checked_number("metal_tolerance_ev", self.metal_tolerance_ev, at_least=0.0, at_most=MAX_TOLERANCE_EV)
        object.__setattr__(self, "metal_tolerance_ev", tolerance)

    @property
    def window(self) -> slice:
        """Which bands decide on gap and metal: those around the Fermi level, three on each side where there are as many."""
        return slice(max(0, self.n_valence - WINDOW_HALF), self.n_valence + WINDOW_HALF)

    def widened(self, bands: int) -> BandRule:
        """The rule of more bands: as many more below as above.

        Raises:
            ArgumentError: ``bad-argument`` for fewer bands, more than `MAX_BANDS`, or a number by which no half is whole.
        """
        n_bands = checked_whole("bands", bands, at_least=self.n_bands, at_most=max(self.n_bands, MAX_BANDS))
        each, odd = divmod(n_bands - self.n_bands, 2)
        if odd:
            raise not_allowed("bands", n_bands, f"{self.n_bands}, or an even number more: as many above as below")
        return BandRule(n_bands, self.n_valence + each, self.metal_tolerance_ev)


@dataclass(frozen=True)
class EnsembleRule:
    """Several models in one: bands are the mean of theirs, and how far they disagree says how wrong that mean may be.

    ``uncertainty_ev = floor_ev + slope * disagreement``: the expected mean absolute error of a crystal's energies. The disagreement
    is the mean absolute difference of the members' energies from their mean, over members, bands and k-points, in eV. Of learned
    Hamiltonians not the bands are averaged but the Hamiltonians, and the disagreement is how far these are from their mean: for
    each member the root mean square difference of bands that Hoffman and Wielandt allow, Duke Math. J. 20, 37 (1953).
    """

    members: tuple[str, ...]
    """Checksums of the members' checkpoints."""
    floor_ev: float
    slope: float
    n_crystals: int
    """Held-out crystals that both were fitted to."""

    def __post_init__(self) -> None:
        check_fields(self)
        _check_counts(self, "n_crystals")

    def __repr__(self) -> str:
        return f"EnsembleRule({len(self.members)} members, {self.floor_ev:.3g} eV + {self.slope:.3g} x disagreement)"


@dataclass(frozen=True)
class Bucket:
    """Sizes that one optimisation profile of a plan is made for, ends included."""

    min_atoms: int
    max_atoms: int
    min_batch: int
    max_batch: int
    scratch_bytes: int | None = None
    """Of the GPU, what the plan was built to compute in at most, inputs, outputs and weights aside; None where its builder does not
    say. A batch of one shape takes what that shape needs."""

    def __post_init__(self) -> None:
        check_fields(self)
        _check_counts(self, "min_atoms", "max_atoms", "min_batch", "max_batch", at_least=1)
        _check_counts(self, "scratch_bytes")
        for small, large in (("min_atoms", "max_atoms"), ("min_batch", "max_batch")):
            checked_whole(large, getattr(self, large), at_least=getattr(self, small))


@dataclass(frozen=True)
class Profile:
    """Sizes an engine accepts; None where the engine sets no limit."""

    max_atoms: int | None = None
    max_batch: int | None = None
    """Crystals in a batch, of the smallest crystals; a bucket of larger ones may take fewer."""
    max_slots: int | None = None
    """Neighbours of an atom, where their number is not the graph recipe's."""
    buckets: tuple[Bucket, ...] = ()
    """Optimisation profiles of a plan, in its own order; none in an ONNX file."""

    def __post_init__(self) -> None:
        check_fields(self)
        _check_counts(self, "max_atoms", "max_batch", "max_slots", at_least=1)

    def __repr__(self) -> str:
        limits = (
            f"{name} {'any' if (most := getattr(self, name)) is None else most}" for name in ("max_atoms", "max_batch", "max_slots")
        )
        return f"Profile({', '.join(limits)}, {len(self.buckets)} buckets)"


@dataclass(frozen=True)
class ParityReport:
    """How far this artefact is from the model it was made from, on real crystals; in a plan, the ONNX graph it was built from."""

    reference: str
    n_crystals: int
    n_atoms: tuple[int, ...]
    """Sizes of the crystals compared."""
    batch_sizes: tuple[int, ...]
    max_energy_error_ev: float
    mean_energy_error_ev: float
    max_gap_change_ev: float
    """Of the distance between valence and conduction edge, over crystals that are insulators on either side."""
    metal_flips: int
    limit_ev: float | None
    """What `max_energy_error_ev` was held to; None: to nothing, as in fp16, where the mean and the gaps are judged."""
    mean_limit_ev: float | None = None
    gap_limit_ev: float | None = None
    max_uncertainty_change_ev: float | None = None
    """None from a model that does not estimate its error; held to the limit of the energies, in fp16 to that of the gaps."""

    def __post_init__(self) -> None:
        # those of a model that fails; an artefact with such a report is never written, nor read
        errors = ("max_energy_error_ev", "mean_energy_error_ev", "max_gap_change_ev", "max_uncertainty_change_ev")
        check_fields(self, may_be_infinite=errors)
        _check_counts(self, "n_crystals", "metal_flips")

    def __repr__(self) -> str:
        return (
            f"ParityReport({self.n_crystals} crystals beside {shortened(self.reference, 60)}: energies differ by"
            f" {self.max_energy_error_ev:.2g} eV at most, {self.mean_energy_error_ev:.2g} eV on average)"
        )


@dataclass(frozen=True)
class Splits:
    """How formulas were dealt to what is learned and what is held out, see `bandrt_train.data.dataset.SplitRule`."""

    seed: int
    validation: float
    test: float
    """Shares of the formulas."""

    def __post_init__(self) -> None:
        check_fields(self)
        _check_counts(self, "seed")

    def __str__(self) -> str:
        return f"seed {self.seed}, {self.validation:g} of the formulas to validate on, {self.test:g} to test on"


@dataclass(frozen=True)
class Fold:
    """Which formulas one of several trainings held out, see `bandrt_train.data.hamiltonian.folds.FoldRule`."""

    n_folds: int
    fold: int
    """From 0."""
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        checked_whole("n_folds", self.n_folds, at_least=2)
        checked_whole("fold", self.fold, at_least=0, at_most=self.n_folds - 1)
        _check_counts(self, "seed")

    def __str__(self) -> str:
        return f"number {self.fold} of {self.n_folds}, counted from 0, is held out, seed {self.seed}"


@dataclass(frozen=True)
class TrainingDomain:
    """What the model has seen: outside of it, predictions are extrapolations."""

    n_crystals: int = 0
    elements: tuple[str, ...] = ()
    max_atoms: int = 0
    functional: str = ""
    data_sha256: str = ""
    parent_sha256: str = ""
    """The checkpoint that training started from; empty: from nothing."""
    pretraining: tuple[str, ...] = ()
    """How the labels were computed that this checkpoint and those before it were trained on first, oldest first."""
    n_gaps: int = 0
    """Further crystals of which the gap alone was learned, here or before."""
    gap_elements: tuple[str, ...] = ()
    gap_max_atoms: int = 0
    """Their elements and the largest of them; `elements` and `max_atoms` are those of the crystals with bands."""
    gaps_sha256: str = ""
    n_taught: int = 0
    """Further crystals whose bands another engine predicted, here or before, the larger number; `elements` and `max_atoms` count in
    those of this training."""
    teacher_sha256: str = ""
    """Fingerprint of those predictions."""
    splits: Splits | None = None
    """Of what was learned here; None where a fold was held out, or it is not said, as by engines of earlier versions."""
    fold: Fold | None = None
    """In the place of splits, what was held out; None where splits were."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Errors on held-out crystals, eV unless the name says otherwise, e.g. ``validation/energy_mae``."""

    def __post_init__(self) -> None:
        check_fields(self)
        _check_counts(self, "n_crystals", "max_atoms", "n_gaps", "gap_max_atoms", "n_taught")

    def __repr__(self) -> str:
        gaps = f", {self.n_gaps} gaps" if self.n_gaps else ""
        gaps += f", {self.n_taught} predictions of another engine" if self.n_taught else ""
        functional = f", {shortened(self.functional, 60)}" if self.functional else ""
        return (
            f"TrainingDomain({self.n_crystals} crystals of up to {self.max_atoms} atoms and {len(self.elements)} elements{gaps}"
            f"{functional}, {len(self.metrics)} metrics)"
        )


@dataclass(frozen=True)
class HandOver:
    """Crystals that a model leaves to another one, which knows more of them."""

    elements: tuple[str, ...]
    """A crystal with any of these is handed over."""
    engine: str
    """What predicts it: the name of an engine that comes with bandrt."""

    def __post_init__(self) -> None:
        check_fields(self)
        check_text("engine", self.engine)
        if not self.elements or len(set(self.elements)) < len(self.elements) or set(self.elements) - set(ATOMIC_NUMBERS):
            raise not_allowed("elements", self.elements, "symbols of elements, each once")

    def __repr__(self) -> str:
        return f"HandOver({len(self.elements)} elements to {shortened(self.engine, 60)})"


@dataclass(frozen=True)
class Backend:
    """What built the artefact and where it runs."""

    name: Literal["onnx", "tensorrt", "tensorrt-rtx", "null"] = "onnx"
    """What runs it; ``null``: nothing, and its bands are all zero."""
    version: str = ""
    opset: int | None = None
    targets: tuple[str, ...] = ()
    """GPU compute capabilities, e.g. ``sm90``; empty: any device the backend supports."""
    cuda: str | None = None
    driver: str | None = None
    file_sha256: str | None = None
    """Checksum of the plan beside this manifest; None inside an ONNX file."""
    timing_cache_sha256: str | None = None
    """Checksum of the kernel timings that TensorRT chose by, ``model.plan.timings``; None where it keeps none."""

    def __post_init__(self) -> None:
        check_fields(self)
        _check_counts(self, "opset")

    def __repr__(self) -> str:
        targets = f" for {shortened(' '.join(self.targets), 60)}" if self.targets else ""
        return f"Backend({self.name} {shortened(self.version, 60)}{targets})"


@dataclass(frozen=True)
class Manifest:
    """Everything that must be known about a model before its first number is trusted."""

    variant: Variant
    """Which architecture."""
    model: dict[str, Any]
    """Model configuration: widths, layers, heads, node features."""
    checkpoint_sha256: str
    """Checksum of the checkpoint it was made from; empty of an engine without a model."""
    recipe: Recipe
    bands: BandRule
    inputs: tuple[str, ...]
    """Names of the arrays it is fed, in order."""
    outputs: tuple[str, ...]
    """Names of the arrays it gives, in order."""
    precision: Precision = "fp32"
    """Of matrix products; all else is fp32."""
    profile: Profile = field(default_factory=Profile)
    backend: Backend = field(default_factory=Backend)
    training: TrainingDomain = field(default_factory=TrainingDomain)
    ensemble: EnsembleRule | None = None
    """How members are put together, each of the variant and configuration above; None: one model alone."""
    parity: ParityReport | None = None
    energy_unit: Literal["eV"] = "eV"
    length_unit: Literal["Å"] = "Å"
    bandrt_version: str = ""
    """What wrote it."""
    solver: Solver | None = None
    """What makes bands of a Hamiltonian: ``graph``, the model itself; ``lapack``, the session, of the Hamiltonian that the model
    gives. None of variants without one."""
    hand_over: HandOver | None = None
    """Which crystals are predicted by another engine; None: none."""
    calibration: GapCalibration | None = None
    """How far gaps are from labels, by which `bandrt screen` ranks crystals; that in ``ENGINE.calibration.json``, where one for
    these weights lies beside the engine. None: not known."""
    licence: str = "MIT"
    """Of the weights."""
    citation: str = "arXiv:2411.16483"
    format_version: int = FORMAT_VERSION
    """Of the manifest itself; another one is refused."""

    def __post_init__(self) -> None:
        """Refuse what no manifest holds.

        Raises:
            ArgumentError: ``bad-argument``, naming the field.
        """
        check_fields(self)
        checked_whole("format_version", self.format_version, at_least=FORMAT_VERSION, at_most=FORMAT_VERSION)
        if (self.variant == "hamiltonian") is (self.solver is None):
            allowed = "a solver" if self.solver is None else "None"
            raise not_allowed("solver", self.solver, f"{allowed} with the variant {self.variant}")
        try:
            json.dumps(self.model, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise not_allowed("model", self.model, f"plain values of JSON ({shortened(str(error))})") from error

    def __repr__(self) -> str:
        return (
            f"Manifest({self.variant}, {self.backend.name} {self.precision}, {self.bands.n_bands} bands x"
            f" {self.recipe.kpath.n_kpoints} k-points, trained on {self.training.n_crystals} crystals)"
        )

    @property
    def is_null(self) -> bool:
        """Whether this is of an engine without a model, whose results mean nothing."""
        return self.backend.name == "null"

    def to_json(self) -> str:
        """Serialise, with sorted keys, so that equal manifests give equal text."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, sort_keys=True, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, *, name: str = "manifest") -> Manifest:
        """Parse and check, also against the checksum that the manifest of a plan carries.

        Raises:
            ManifestError: ``manifest-invalid`` for text that is not a manifest, or not the one that was written,
                ``manifest-version`` for another format.
            ArgumentError: ``bad-argument`` for what is no text.
        """
        check_kind("text", text, str)
        check_kind("name", name, str)
        values = parsed(text, name=name)
        if not isinstance(values, dict):
            raise ManifestError("manifest-invalid", f"{name}: the manifest is {with_article(type(values).__name__)}, not an object")
        version = values.get("format_version")
        if version != FORMAT_VERSION:
            raise ManifestError(
                "manifest-version",
                f"{name}: manifest format {quoted(version)}, this bandrt reads {FORMAT_VERSION};"
                " export the checkpoint again with this version",
            )
        return from_mapping(cls, checked(values, name=name, what="manifest"), name=name)


def _check_counts(given: Any, *names: str, at_least: int = 0) -> None:
    """Refuse fields that count, and are less than they can be; None is for what is not known.

    Raises:
        ArgumentError: ``bad-argument``, naming the field.
    """
    for name in names:
        if (value := getattr(given, name)) is not None:
            checked_whole(name, value, at_least=at_least)
