"""The command by which ``trtexec``, the tool that comes with TensorRT, builds a plan: for other hands than ours.

It has one optimisation profile with the shapes of all inputs by name. Flags are those of TensorRT 10; what it writes has no
manifest, so that this runtime does not take it.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from bandrt.batch import most_together
from bandrt.contract import TENSORS, Axes, known_sizes
from bandrt.engine.onnx.file import manifest_of
from bandrt.manifest import Bucket, Manifest
from bandrt_export.errors import ExportError
from bandrt_export.plan.profiles import ranges_of, slots_of

MAX_ATOMS = 32
"""Of the largest crystal unless it is said; TensorRT reserves memory for the largest batch of these."""
FLAGS = ("--stronglyTyped", "--noTF32", "--skipInference")
"""Precision is the one that stands in the graph, fp32 is not rounded to TF32, and nothing is run."""


def trtexec(model: Path, *, max_atoms: int | None = None, max_batch: int | None = None) -> str:
    """One line for a shell.

    Args:
        model: the ONNX engine.
        max_atoms: of the largest crystal; None takes `MAX_ATOMS`.
        max_batch: crystals in a batch; None takes as many as the runtime puts together of the largest.

    Raises:
        ExportError: ``plan-solver``: the engine ends at a Hamiltonian, which only this runtime solves.
        EngineError, ManifestError: it cannot be read.
    """
    manifest = manifest_of(model)
    if manifest.solver == "lapack":
        raise ExportError("plan-solver", f"{model}: ends at a Hamiltonian; export the checkpoint with --solver graph")
    atoms = max_atoms or MAX_ATOMS
    shapes = shapes_of(manifest, max_atoms=atoms, max_batch=max_batch or most_together(atoms))
    limits = [
        f"--{name}Shapes=" + ",".join(f"{tensor}:{'x'.join(map(str, axes[place]))}" for tensor, axes in shapes.items())
        for place, name in enumerate(("min", "opt", "max"))
    ]
    plan = model.with_suffix(".plan").name
    return shlex.join(["trtexec", f"--onnx={model}", f"--saveEngine={plan}", *FLAGS, *limits])


def shapes_of(manifest: Manifest, *, max_atoms: int, max_batch: int) -> dict[str, tuple[Axes, Axes, Axes]]:
    """Least, usual and largest shape of each input of an engine."""
    recipe = manifest.recipe
    n_mesh = 1 if recipe.mesh is None else recipe.mesh.most_points
    free = ranges_of(Bucket(1, max_atoms, 1, max_batch), (1, *slots_of(recipe.graph)), n_mesh)
    ranges = free | {symbol: (size, size, size) for symbol, size in known_sizes(manifest).items()}
    found: dict[str, tuple[Axes, Axes, Axes]] = {}
    for name in manifest.inputs:
        least, often, largest = (
            TENSORS[name].axes({symbol: sizes[place] for symbol, sizes in ranges.items()}) for place in range(3)
        )
        found[name] = (least, often, largest)
    return found
