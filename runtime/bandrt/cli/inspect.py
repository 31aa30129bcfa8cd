"""``bandrt inspect``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bandrt.calibration import GapCalibration
from bandrt.cli import options
from bandrt.contract import TENSORS, TensorSpec, described, hamiltonian_given, known_sizes, require_names
from bandrt.engine import DEFAULT_ENGINE, has_checksum, read_manifest
from bandrt.manifest import Bucket, EnsembleRule, HandOver, Manifest, ParityReport, Solver, TrainingDomain
from bandrt.recipe import GraphRecipe, MeshRecipe

_SOLVERS: dict[Solver, str] = {
    "graph": "the model makes bands of its Hamiltonian itself",
    "lapack": "the session makes bands of the Hamiltonian that the model gives:",
}
_MORE = "; more with --bands of infer"
"""Said of engines that know them."""
NO_CHECKSUM = "none: what follows may be of another file"
"""Said of an engine that may have been changed since it was verified."""


@click.command("inspect", short_help="Say what a model is and how it was verified.")
@click.argument("model", default=DEFAULT_ENGINE, type=options.ENGINE)
@options.as_json("the manifest, with the contract of its inputs and outputs")
def command(model: Path, as_json: bool) -> None:
    """Say what MODEL is, what it was trained on and how it was verified.

    MODEL is an engine, model.onnx or model.plan, or fast or accurate for one that comes with bandrt; accurate by default.

    Exit codes: 0 said, 1 it cannot be read, 2 wrong usage.
    """
    manifest = read_manifest(model)
    if as_json:
        said = json.loads(manifest.to_json()) | {
            "has_checksum": has_checksum(model),
            "contract": described(manifest, name=str(model)),
        }
        click.echo(options.json_text(said))
        return
    require_names(manifest, name=str(model))
    for title, rows in _sections(model, manifest):
        click.echo(title)
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            click.echo(f"  {name:<{width}}  {value}")


def _sections(path: Path, manifest: Manifest) -> list[tuple[str, list[tuple[str, str]]]]:
    training, parity, backend = manifest.training, manifest.parity, manifest.backend
    recipe, bands, profile = manifest.recipe, manifest.bands, manifest.profile
    return [
        (
            str(path),
            [
                ("model", f"{manifest.variant}, {manifest.precision}, {path.stat().st_size / 1e6:.1f} MB"),
                ("configuration", ", ".join(f"{k} {v}" for k, v in sorted(manifest.model.items()))),
                ("backend", " ".join([backend.name, backend.version, f"(opset {backend.opset})" if backend.opset else ""]).strip()),
                *([("runs on", f"GPUs of {', '.join(backend.targets)}")] if backend.targets else []),
                (
                    "limits",
                    f"atoms {profile.max_atoms or 'any'}, crystals in a batch {profile.max_batch or 'any'}"
                    + (f", neighbours of an atom {profile.max_slots}" if profile.max_slots else ""),
                ),
                *(("profile", _bucket(bucket)) for bucket in profile.buckets),
                ("checkpoint", manifest.checkpoint_sha256),
                ("licence", manifest.licence),
                ("citation", manifest.citation),
            ],
        ),
        (
            "what it is fed",
            [
                *((name, _tensor(TENSORS[name], manifest)) for name in manifest.inputs),
                ("k-path", f"{recipe.kpath.scheme}, {recipe.kpath.n_kpoints} points, {recipe.kpath.frame}"),
                *([("mesh", _mesh(recipe.mesh))] if recipe.mesh else []),
                ("graph", _graph(recipe.graph)),
                ("symmetry", f"{recipe.symmetry.finder}, tolerance {recipe.symmetry.symprec:g} Å"),
            ],
        ),
        (
            "what it gives",
            [
                *((name, _tensor(TENSORS[name], manifest)) for name in manifest.outputs),
                *([("solver", _SOLVERS[manifest.solver])] if manifest.solver else []),
                *((one.name, _tensor(one, manifest)) for one in hamiltonian_given(manifest)[:-1] if manifest.solver == "lapack"),
                *(_ensemble(manifest.ensemble) if manifest.ensemble else []),
                (
                    "bands",
                    f"{bands.n_bands}, the lower {bands.n_valence} of them valence{_MORE if manifest.solver == 'lapack' else ''}",
                ),
                ("metal", f"halves overlap, or a band crosses zero by more than {bands.metal_tolerance_ev:g} eV"),
            ],
        ),
        (
            "what it was trained on",
            [
                ("crystals", f"{training.n_crystals}, up to {training.max_atoms} atoms" if training.n_crystals else "not said"),
                ("labels", training.functional or "not said"),
                *([("gaps alone", _gaps(training))] if training.n_gaps else []),
                *([("predictions", f"of another engine, {training.n_taught} further crystals")] if training.n_taught else []),
                *([("splits", str(training.splits))] if training.splits else []),
                *([("fold", str(training.fold))] if training.fold else []),
                ("elements", f"{len(training.elements)}: {' '.join(training.elements)}" if training.elements else "not said"),
                *((name, f"{value:.4g}") for name, value in sorted(training.metrics.items())),
            ],
        ),
        *([("what it hands over", _hand_over(manifest.hand_over))] if manifest.hand_over else []),
        *([("how far gaps are off", _calibration(manifest.calibration))] if manifest.calibration else []),
        (
            "how it was verified",
            [*_checksum(path, manifest), *(_parity(parity, manifest) if parity else [("parity", "not verified")])],
        ),
    ]


def _mesh(mesh: MeshRecipe) -> str:
    in_all = "" if mesh.kept is None else f", {mesh.kept} in all"
    alike = ", one of those that rotations make of each other" if mesh.symmetry == "point_group" else ""
    return f"points at most {mesh.spacing:g} 1/Å apart, {mesh.most} an axis{in_all}{alike}; metals smeared by {mesh.smearing:g} eV"


def _graph(graph: GraphRecipe) -> str:
    if graph.rule == "bonds":
        return f"all atoms nearer than {graph.reach:g} sums of covalent radii, within {graph.cutoff:g} Å"
    return f"{graph.n_neighbors} neighbours within {graph.cutoff:g} Å, {graph.tie_rule} ties, edges {graph.direction}"


def _tensor(tensor: TensorSpec, manifest: Manifest) -> str:
    """Shape, type and meaning of an array, e.g. ``(B, N) int32: atomic number of each atom; 0 on padding``."""
    unit = f", {tensor.unit}" if tensor.unit else ""
    padding = "" if tensor.padding is None else f"; {json.dumps(tensor.padding, allow_nan=False)} on padding"
    return f"{tensor.written(known_sizes(manifest))} {tensor.dtype}: {tensor.meaning}{unit}{padding}"


def _ensemble(ensemble: EnsembleRule) -> list[tuple[str, str]]:
    return [
        (
            "ensemble",
            f"mean of {len(ensemble.members)} such models, trained alike: {', '.join(sha256[:12] for sha256 in ensemble.members)}",
        ),
        (
            "uncertainty",
            f"{ensemble.floor_ev:.3g} eV + {ensemble.slope:.3g} times their disagreement,"
            f" fitted to {ensemble.n_crystals} held-out crystals",
        ),
    ]


def _hand_over(rule: HandOver) -> list[tuple[str, str]]:
    return [("engine", rule.engine), ("elements", f"crystals with any of {len(rule.elements)}: {' '.join(rule.elements)}")]


def _calibration(calibration: GapCalibration) -> list[tuple[str, str]]:
    direct = calibration.direct
    if direct is None:
        told = "nothing is known"
    elif direct.log_odds is None:
        told = f"not told from indirect ones; the share of labels is {direct.share:.2f} of {direct.n_labels}"
    else:
        told = f"told, by {direct.n_crystals} non-metals"
    return [
        ("fitted to", f"{calibration.n_crystals} crystals of formulas that it has not learned"),
        ("direct gaps", told),
    ]


def _gaps(training: TrainingDomain) -> str:
    further = sorted(set(training.gap_elements) - set(training.elements))
    size = f", up to {training.gap_max_atoms} atoms" if training.gap_max_atoms else ""
    new = f", with {len(further)} further elements: {' '.join(further)}" if further else ""
    return f"{training.n_gaps} further crystals{size}{new}"


def _bucket(bucket: Bucket) -> str:
    scratch = "" if bucket.scratch_bytes is None else f", scratch of up to {bucket.scratch_bytes / 1e6:.0f} MB"
    return f"{_range(bucket.min_atoms, bucket.max_atoms)} atoms in batches of {_range(bucket.min_batch, bucket.max_batch)}{scratch}"


def _range(least: int, most: int) -> str:
    return str(most) if least == most else f"{least} to {most}"


def _checksum(path: Path, manifest: Manifest) -> list[tuple[str, str]]:
    """Whether what is said of the verification is of this very file; of what holds no model, nothing."""
    if manifest.is_null:
        return []
    return [("checksum", "as it was written" if has_checksum(path) else NO_CHECKSUM)]


def _parity(report: ParityReport, manifest: Manifest) -> list[tuple[str, str]]:
    doubt = report.max_uncertainty_change_ev
    return [
        ("reference", report.reference),
        *([("compared", "the ONNX graph that the plan was built from")] if manifest.backend.name != "onnx" else []),
        ("crystals", f"{report.n_crystals}, of {min(report.n_atoms)} to {max(report.n_atoms)} atoms"),
        ("batches", " ".join(map(str, report.batch_sizes))),
        ("energies", f"differ by {_held(report.max_energy_error_ev, report.limit_ev)} at most"),
        ("on average", f"by {_held(report.mean_energy_error_ev, report.mean_limit_ev)}"),
        ("gaps", f"differ by {_held(report.max_gap_change_ev, report.gap_limit_ev)} at most"),
        ("metals", f"{report.metal_flips} taken for insulators or back"),
        *([("uncertainty", f"differs by {_held(doubt, report.gap_limit_ev)} at most")] if doubt is not None else []),
    ]


def _held(found: float, limit: float | None) -> str:
    return f"{found:.1e} eV" + ("" if limit is None else f" (limit {limit:.1e})")
