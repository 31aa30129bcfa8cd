"""Checkpoint to ONNX file: trace the dense model, write the manifest inside, and let the file stay only if it passes parity."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import torch
from torch import Tensor
from torch.export import Dim

import bandrt
from bandrt.arguments import check_choice
from bandrt.contract import ANY_SLOTS, BAND_ENERGIES, DIMENSIONS, INVERSION, TENSORS, UNCERTAINTY
from bandrt.crystal import Crystal
from bandrt.domain import little_known
from bandrt.engine.onnx.file import with_checksum
from bandrt.errors import EngineError, UsageError
from bandrt.files import check_file, replaced
from bandrt.manifest import METADATA_KEY, Backend, BandRule, HandOver, Manifest, ParityReport, Precision, Solver
from bandrt.routes import other_engine
from bandrt_export.dense.ensemble import AnyDense, dense_of
from bandrt_export.dense.hamiltonian import DenseHamiltonian
from bandrt_export.eigensolver.assembly import with_solver
from bandrt_export.half import with_half_products, with_rounding_spelled_out
from bandrt_export.output import heartbeat, summary
from bandrt_export.parity import compare, featurize_all, limits_of, open_exact, packaged_crystals, require
from bandrt_export.reference import PYTORCH, PYTORCH_BANDS
from bandrt_train.hamiltonian_checkpoint import AnyCheckpoint, HamiltonianCheckpoint, load_any_checkpoint
from bandrt_train.model.released.config import Conventions

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 20
"""The newest that TensorRT, TensorRT-RTX and ONNX Runtime all take in full."""
MAX_SIZE = 4096
"""Largest batch and number of atoms the traced shapes promise; nothing allocates by it."""
HAMILTONIANS_HAND_OVER_TO, NO_ENGINE = "fast", "none"
"""Engines that learned Hamiltonians, and other variants, leave crystals to unless it is said."""
MESH_SIZE = 7
"""Points of the mesh that models are traced with: not the size of another axis."""


def export_onnx(
    checkpoint_path: str | Path,
    output: str | Path,
    *,
    precision: Precision = "fp32",
    solver: Solver | None = None,
    default_solver: Solver = "lapack",
    hand_over: str | None = None,
    bands: int | None = None,
    conventions: Conventions | None = None,
    crystals: Sequence[Crystal] | None = None,
    limit_ev: float | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """Export a checkpoint to an ONNX engine.

    The file appears under its name only after it has reproduced the reference model.

    Args:
        checkpoint_path: what training wrote, here or in the authors' released code.
        output: the ``.onnx`` file to write; replaced if there is one.
        precision: of the matrix products; learned Hamiltonians have fp32 alone.
        solver: what makes bands of a learned Hamiltonian, and only of one.
        default_solver: what does where `solver` is None.
        hand_over: the engine that comes with bandrt and predicts crystals of the elements that this one knows too little of, or
            ``none``; None takes ``fast`` for a learned Hamiltonian, if it gives as many bands, and none for other variants.
        bands: how many a learned Hamiltonian gives around the Fermi level, half of them below; None takes as many as the checkpoint
            says. Crystals that have fewer are failures of a run.
        conventions: what a checkpoint of the released code leaves unsaid; None takes the defaults.
        crystals: to check parity on; None takes those that come with this package.
        limit_ev: eV, largest energy difference allowed; None takes what rounding may cost the variant in fp32, and judges fp16 by
            the mean and the gaps alone.
        on_progress: called with how many predictions were compared, and of how many.

    Returns:
        The manifest written inside, parity report included.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        UsageError: ``precision-unsupported`` or ``solver-unused``.
        EngineError: ``hand-over-unavailable``, of the engine that was named, or ``bands-fixed``, where the model learned how many.
        ArgumentError: ``bad-argument`` for a number of bands that no engine gives.
        OutputError: ``output-not-a-file`` or ``output-unwritable``, before the work.
        ExportError: ``parity-failed``.
    """
    check_choice("precision", precision, Precision)
    log = logging.getLogger(__name__)
    target = Path(output)
    check_file(target, overwrite=True)
    checkpoint = load_any_checkpoint(checkpoint_path, conventions=conventions)
    if isinstance(checkpoint, HamiltonianCheckpoint):
        solver = solver or default_solver
        if precision != "fp32":
            raise UsageError(
                "precision-unsupported",
                f"{checkpoint_path}: eigenvalues of a learned Hamiltonian need fp32; leave out --precision {precision}",
            )
    elif solver is not None:
        raise UsageError("solver-unused", f"{checkpoint_path}: holds no learned Hamiltonian; leave out --solver {solver}")
    rule = checkpoint.bands if bands is None else checkpoint.bands.widened(bands)
    if rule != checkpoint.bands and solver is None:
        knows = f"{checkpoint_path}: the model learned {checkpoint.bands.n_bands} bands, and {bands} are asked for"
        raise EngineError("bands-fixed", f"{knows}; leave out --bands, or export a learned Hamiltonian")
    reference = checkpoint.build_model()
    dense = dense_of(reference)
    with heartbeat(f"tracing the {checkpoint.config.variant} model"):
        proto = trace(dense, n_slots=checkpoint.recipe.graph.n_neighbors)
        if precision == "fp16" and not isinstance(dense, DenseHamiltonian):
            proto = with_half_products(proto, full_precision=dense.full_precision)
        proto = without_traces(proto)
    manifest = with_hand_over(describe(checkpoint, dense, rule, precision, solver), hand_over, name=target)
    if solver == "graph":
        proto = with_solver(proto, manifest)
    features = featurize_all(packaged_crystals() if crystals is None else crystals, checkpoint.recipe)
    limits = limits_of(precision, rounding_ev=dense.parity_limit_ev, limit_ev=limit_ev)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replaced(target, "wb") as file:
        log.info("comparing with the reference on %d crystals", len(features))
        reports: list[ParityReport] = []
        for judged in (proto, with_rounding_spelled_out(proto)) if precision == "fp16" else (proto,):
            write(judged, manifest, file)
            with open_exact(Path(file.name)) as session:
                reports.append(
                    compare(
                        reference,
                        session,
                        features,
                        rule=rule,
                        limits=limits,
                        reference=PYTORCH if solver is None else PYTORCH_BANDS,
                        on_progress=on_progress,
                    )
                )
            require(reports[-1], name=target.name)
        log.info(summary(reports[-1]))
        manifest = dataclasses.replace(manifest, parity=reports[-1])
        write(proto, manifest, file)
    log.info("wrote %s, %.1f MB", target, target.stat().st_size / 1e6)
    return manifest


def trace(dense: AnyDense, *, n_slots: int) -> ModelProto:
    """Trace a dense model to ONNX with dynamic batch, atoms and mesh, and dynamic neighbour slots if it takes any number.

    The exporter's notes are still in it.
    """
    # two different sizes, neither 1 nor equal to another axis: torch.export would tie or freeze those
    example = example_inputs(dense, n_crystals=3, n_atoms=5, n_slots=n_slots)
    symbols = "BNMD" if dense.config.variant in ANY_SLOTS else "BNM"
    free = {symbol: Dim(DIMENSIONS[symbol].name, min=1, max=MAX_SIZE) for symbol in symbols}
    shapes = tuple(
        {axis: free[dim] for axis, dim in enumerate(TENSORS[name].dims) if isinstance(dim, str) and dim in free}
        for name in dense.inputs
    )
    with _quiet_exporter():
        program = torch.onnx.export(
            dense,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(dense.inputs),
            output_names=list(dense.outputs),
            dynamic_shapes=shapes,
            external_data=False,
            verbose=False,
        )
    assert program is not None  # only with `dynamo=False` is there none
    return program.model_proto


def without_traces(proto: ModelProto) -> ModelProto:
    """Remove the exporter's notes on where each operation came from: source lines, paths of this machine, intermediate shapes."""
    for annotated in (proto.graph, *proto.graph.node, *proto.graph.initializer, *proto.graph.input, *proto.graph.output):
        annotated.ClearField("metadata_props")
        annotated.ClearField("doc_string")
    proto.graph.ClearField("value_info")
    return proto


def example_inputs(dense: AnyDense, *, n_crystals: int, n_atoms: int, n_slots: int) -> tuple[Tensor, ...]:
    """A batch of nothing but padding, in the order of the model's inputs."""
    n_kpoints = dense.n_kpoints if isinstance(dense, DenseHamiltonian) else dense.config.n_kpoints
    sizes = {"B": n_crystals, "N": n_atoms, "D": n_slots, "M": MESH_SIZE, "K": n_kpoints}
    return tuple(torch.from_numpy(TENSORS[name].padded(sizes)) for name in dense.inputs)


def describe(
    checkpoint: AnyCheckpoint, dense: AnyDense, bands: BandRule, precision: Precision, solver: Solver | None = None
) -> Manifest:
    """Write down what an engine made from a checkpoint is, before parity is known."""
    outputs = dense.outputs
    if isinstance(dense, DenseHamiltonian):  # what its session gives
        outputs = (BAND_ENERGIES,) if checkpoint.ensemble is None else (BAND_ENERGIES, UNCERTAINTY)
    return Manifest(
        variant=checkpoint.config.variant,
        model=dataclasses.asdict(checkpoint.config),
        checkpoint_sha256=checkpoint.sha256,
        recipe=checkpoint.recipe,
        bands=bands,
        inputs=(*dense.inputs, *INVERSION) if solver == "graph" else dense.inputs,
        outputs=outputs,
        precision=precision,
        backend=Backend(name="onnx", version=f"torch {torch.__version__}", opset=OPSET),
        training=checkpoint.training,
        ensemble=checkpoint.ensemble,
        bandrt_version=bandrt.__version__,
        solver=solver,
    )


def with_hand_over(manifest: Manifest, engine: str | None, *, name: Path) -> Manifest:
    """Write down which crystals are left to another engine.

    Args:
        manifest: of the engine that is made.
        engine: as `export_onnx` takes it.
        name: the file that is made.

    Raises:
        EngineError: ``hand-over-unavailable``, of the engine that was named.
    """
    chosen = engine or (HAMILTONIANS_HAND_OVER_TO if manifest.variant == "hamiltonian" else NO_ENGINE)
    if chosen == NO_ENGINE:
        return manifest
    elements = little_known(manifest.training, manifest.recipe.max_atomic_number)
    handing = dataclasses.replace(manifest, hand_over=HandOver(elements, chosen))
    try:
        other_engine(name, handing)
    except EngineError as error:
        if engine is not None:
            raise
        logging.getLogger(__name__).warning("no crystals are handed over: %s", error.message)
        return manifest
    return handing


def write(proto: ModelProto, manifest: Manifest, file: IO[bytes]) -> None:
    """Write a model with its manifest in the metadata and the checksum of both, over whatever the file holds."""
    del proto.metadata_props[:]
    proto.metadata_props.add(key=METADATA_KEY, value=manifest.to_json())
    file.seek(0)
    file.truncate()
    file.write(with_checksum(proto.SerializeToString(deterministic=True)))
    file.flush()


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep torch's notes to its own developers from our users; anything else still gets through."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)  # "torchvision is not installed", which no model here needs
    try:
        with warnings.catch_warnings():
            # torch calls its own deprecated tree class when it copies one (torch 2.13)
            warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*", category=FutureWarning)
            # several inputs share an axis on purpose: it has one name
            warnings.filterwarnings("ignore", message=r"# The axis name: \w+ will not be used", category=UserWarning)
            yield
    finally:
        registration.setLevel(level)
