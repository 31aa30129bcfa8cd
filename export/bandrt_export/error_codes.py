"""What every error code of exporting and verifying means, and what mends it; see `bandrt.error_codes`."""

from __future__ import annotations

from collections.abc import Mapping

from bandrt.error_codes import ErrorCode, by_code

CODES: Mapping[str, ErrorCode] = by_code(
    ErrorCode(
        "parity-failed",
        "The exported engine does not agree with the model of the checkpoint within the limits; nothing was written.",
        "Export with --precision fp32 if it was fp16. A larger --limit-ev accepts a larger difference of energies; judge first"
        " whether it matters beside the model's own error.",
    ),
    ErrorCode(
        "not-comparable",
        "Two models that should be compared are made for different input: other graphs, k-paths or bands.",
        "Compare an engine with the checkpoint that it was made from, or with an engine of that checkpoint.",
    ),
    ErrorCode(
        "precision-unsupported",
        "A learned Hamiltonian was to be exported in half precision, which its eigenvalues do not bear.",
        "Leave out --precision, or give --precision fp32.",
    ),
    ErrorCode(
        "solver-unused",
        "A --solver was given for a model that has no Hamiltonian to solve.",
        "Leave out --solver.",
    ),
    ErrorCode(
        "target-unusable",
        "A --target is not a GPU that this package builds plans for, or was given for a package that builds for its own GPU alone.",
        "Choose among the targets in the message; for other GPUs build there, with --backend tensorrt and without --target.",
    ),
    ErrorCode(
        "triton-backend",
        "A plan of TensorRT-RTX was to be served by Triton, which runs plans of full TensorRT alone.",
        "Build the plan with --backend tensorrt on the GPU of the server, or serve an ONNX engine.",
    ),
    ErrorCode(
        "plan-solver",
        "A plan was to be built from an engine of a learned Hamiltonian whose eigenvalues are found in the runtime.",
        "Export the checkpoint with --solver graph, or straight to a plan.",
    ),
    ErrorCode(
        "plan-not-parsed",
        "TensorRT cannot read the ONNX engine that the plan should be built from.",
        "Install the release of TensorRT that the extra of bandrt asks for, and export the ONNX engine again with this version.",
    ),
    ErrorCode(
        "plan-precision",
        "The network that TensorRT was given does not have the precision that the manifest of the ONNX engine states.",
        "Export the ONNX engine again; if it stays, report the problem with the releases of TensorRT and bandrt.",
    ),
    ErrorCode(
        "refit-differs",
        "A plan was to be given the weights of a checkpoint of another shape, or for other input.",
        "Build a new plan of that checkpoint.",
    ),
    ErrorCode(
        "plan-not-refittable",
        "A plan was to be given other weights, and was not built to be.",
        "Build it again with --refittable on a GPU.",
    ),
    ErrorCode(
        "plan-not-refitted",
        "TensorRT cannot give a plan other weights; nothing was written.",
        "Read its reason in the message, and build a new plan of the checkpoint.",
    ),
    ErrorCode(
        "plan-not-built",
        "TensorRT cannot build the plan.",
        "Read its reason in the message; less memory is needed with a smaller --max-atoms and --max-batch.",
    ),
)
"""Codes that only this package raises."""
