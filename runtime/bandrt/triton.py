"""Triton: texts of crystals in, answers in JSON out, for the model in Python that `bandrt export --triton` writes.

Triton's Python backend brings an interpreter and a NumPy of its own. The model there imports neither bandrt nor ONNX Runtime: it
starts ``python -m bandrt.triton ENGINE`` in the environment that has them, and talks with it through its pipes. The first line that
goes out says which engine is open. A line that comes in is a list of texts in JSON; as many lines go out, each of them an answer
in JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import IO, Any

import numpy as np

from bandrt.bands.band_structure import BandStructure
from bandrt.errors import BandrtError, EngineError
from bandrt.loading import load
from bandrt.predict import Engine
from bandrt.results.prediction import Failure, Result
from bandrt.results.summary import json_values, summary
from bandrt.sources.tables import source_of_text

DECIMALS = 6
"""Of energies in answers, in eV."""
WITHOUT = ("id", "path")
"""What is left out of a summary: an answer is told by its place."""


def answers(engine: Engine, texts: Sequence[Any]) -> Iterator[str]:
    """Predict crystals, and put each result in JSON, lazily and in order, as `Engine.predict` gives them.

    Args:
        engine: open.
        texts: of CIFs.

    Yields:
        Of each text an object: the columns of ``summary.csv`` from ``formula`` on, and ``bands`` with ``energies`` (n_bands,
        n_kpoints) in eV and the points of their path; or ``error``, a code, and ``error_message``. All have ``engine_sha256``,
        the `Engine.checksums`.
    """
    sources = [source_of_text(text, source_id="crystal", place="crystal") for text in texts]
    yield from (answer(result, engine.checksums) for result in engine.predict(sources))


def answer(result: Result, engine_sha256: str) -> str:
    """One result in JSON, which has no nan: null stands for it.

    Args:
        result: of a crystal.
        engine_sha256: which engine made it.
    """
    if isinstance(result, Failure):
        said: dict[str, Any] = {"error": result.code, "error_message": result.message, "engine_sha256": engine_sha256}
    else:
        columns = {name: value for name, value in json_values(summary(result)).items() if name not in WITHOUT}
        said = columns | {"engine_sha256": engine_sha256, "bands": _bands(result.band_structure)}
    return json.dumps(said, ensure_ascii=False, allow_nan=False)


def serve(engine: Engine, given: IO[str], out: IO[str]) -> None:
    """Say which engine is open, then answer crystal by crystal, until nothing more comes."""
    _say(out, json.dumps({"engine_sha256": engine.checksums}))
    for line in given:
        for one in answers(engine, json.loads(line)):
            _say(out, one)


def main(words: Sequence[str]) -> int:
    """Open an engine, and answer what comes in at standard input; its process ends with the one that started it.

    Returns:
        The exit code: 0, or 1 for an error, which is told at standard error.
    """
    parser = argparse.ArgumentParser(prog="python -m bandrt.triton", description=__doc__)
    parser.add_argument("engine")
    parser.add_argument("--device")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--sha256", help="of the engine, which may be no other")
    chosen = parser.parse_args(words)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)  # what a library prints is no answer
        try:
            with load(chosen.engine, chosen.device, threads=chosen.threads) as engine:
                _require(engine, chosen.sha256)
                serve(engine, sys.stdin, out)
        except BandrtError as error:
            sys.stderr.write(f"error [{error.code}]: {error.message}\n")
            return 1
    return 0


def _require(engine: Engine, sha256: str | None) -> None:
    """Refuse an engine that has taken the place of another one.

    Raises:
        EngineError: ``engine-changed``.
    """
    if sha256 is not None and engine.sha256 != sha256:
        raise EngineError(
            "engine-changed",
            f"{engine.path}: is not the engine that config.pbtxt names (sha256 {engine.sha256[:12]}, expected {sha256[:12]}); where"
            " both were written anew, let the server load the model again; else write both with `bandrt export --triton`",
        )


def _say(out: IO[str], line: str) -> None:
    out.write(line + "\n")
    out.flush()


def _bands(bands: BandStructure) -> dict[str, Any]:
    return {
        "energies": np.round(bands.energies.astype(np.float64), DECIMALS).tolist(),
        "frac_kpoints": bands.frac_kpoints.tolist(),
        "kpoint_distance": bands.kpoint_distance.tolist(),
        "labels": list(bands.labels),
        "label_indices": bands.label_indices.tolist(),
        "scheme": bands.scheme,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
