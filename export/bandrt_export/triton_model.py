"""Bands of crystals, for Triton's Python backend: a text in, JSON out. `bandrt export --triton` copies this file into a repository.

It imports nothing but what the backend brings. What predicts is ``python -m bandrt.triton``, a process of an interpreter that has
bandrt, named by the parameter ``python`` of ``config.pbtxt``; where it is killed, or does not get on, another one is started.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

OPENING_S = 300
"""How long an engine may take to open."""
READ_BYTES = 1 << 16


class Lost(Exception):
    """The process that predicts gives no answer.

    Attributes:
        code: ``crashed`` or ``timed-out``, as `bandrt infer` calls it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class TritonPythonModel:
    """What Triton calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Start what predicts, and wait until its engine is open.

        Args:
            args: by Triton: the configuration, where the model lies, and on which device this instance is.

        Raises:
            Lost: it does not start; why stands in the log of the server.
        """
        given = json.loads(args["model_config"])["parameters"]
        parameters = {name: value["string_value"] for name, value in given.items()}
        engine = os.path.normpath(os.path.join(args["model_repository"], parameters["engine"]))
        device = ["--device", f"cuda:{args['model_instance_device_id']}"] if args["model_instance_kind"] == "GPU" else []
        threads = ["--threads", parameters["threads"]] if parameters.get("threads") else []
        sha256 = ["--sha256", parameters["engine_sha256"]] if parameters.get("engine_sha256") else []
        self._command = [parameters["python"], "-m", "bandrt.triton", engine, *device, *threads, *sha256]
        self._timeout = float(parameters["timeout"])
        self._process: subprocess.Popen[bytes] | None = None
        self._read = bytearray()  # of the next lines
        self._engine: dict[str, str] = {}  # what the process says of it
        self._start()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests together: all crystals that Triton has batched go through the engine at once."""
        import triton_python_backend_utils as triton

        inputs = [triton.get_input_tensor_by_name(request, "cif").as_numpy() for request in requests]  # each (crystals, 1)
        texts = [bytes(text).decode("utf-8", "replace") for given in inputs for text in given.reshape(-1)]
        answers = iter(self._answers(texts))
        outputs = (np.array([next(answers) for _ in range(given.size)], dtype=object) for given in inputs)
        return [
            triton.InferenceResponse([triton.Tensor("json", found.reshape(given.shape))])
            for found, given in zip(outputs, inputs, strict=True)
        ]

    def finalize(self) -> None:
        """End what predicts."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _start(self) -> None:
        """Start what predicts, unless it runs.

        Raises:
            Lost: it does not start.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self._end()
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._read = bytearray()
        try:
            self._engine = json.loads(self._line(OPENING_S))
        except Lost as lost:
            self._end()
            raise Lost(lost.code, f"{' '.join(self._command)} {lost}; why stands above in the log") from lost

    def _end(self) -> None:
        """Kill what predicts; the next crystal starts another one."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _answers(self, texts: list[str]) -> list[bytes]:
        """Answers to texts; where the process is lost, those that it has not answered are asked again, each alone.

        So whether a crystal is given up does not depend on those beside it. It has crashed if it ended two processes: the first may
        have been killed by others.

        Raises:
            Lost: another process does not start.
        """
        self._start()
        found: list[bytes] = []
        try:
            self._ask(texts, found)
        except Lost as lost:
            if len(texts) == 1 and lost.code == "timed-out":
                return [self._given_up(lost)]
        return found + [self._answer(text) for text in texts[len(found) :]]

    def _answer(self, text: str) -> bytes:
        """The answer to one text that is asked for the second time."""
        self._start()
        found: list[bytes] = []
        try:
            self._ask([text], found)
        except Lost as lost:
            return self._given_up(lost)
        return found[0]

    def _ask(self, texts: list[str], found: list[bytes]) -> None:
        """Ask the process for some texts; what does not answer is ended.

        Args:
            texts: of crystals.
            found: empty; where each answer goes when it comes.

        Raises:
            Lost: it ended, or went on for too long without the next answer.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(texts).encode() + b"\n")
            self._process.stdin.flush()
            while len(found) < len(texts):
                found.append(self._line(self._timeout))
        except BrokenPipeError:
            self._end()
            raise Lost("crashed", "ended") from None
        except BaseException:  # what is asked next shall not find answers to this
            self._end()
            raise

    def _line(self, seconds: float) -> bytes:
        """The next line of the process, without its end.

        Raises:
            Lost: there is none, or none in time.
        """
        assert self._process is not None
        assert self._process.stdout is not None
        until = time.monotonic() + seconds
        while b"\n" not in self._read:
            if not select.select([self._process.stdout], [], [], max(0.0, until - time.monotonic()))[0]:
                raise Lost("timed-out", f"did not answer within {seconds:g} s")
            more = os.read(self._process.stdout.fileno(), READ_BYTES)
            if not more:
                raise Lost("crashed", "ended")
            self._read += more
        line, _, rest = self._read.partition(b"\n")
        self._read = rest
        return bytes(line)

    def _given_up(self, lost: Lost) -> bytes:
        """The answer to a crystal that has none."""
        said = {"error": lost.code, "error_message": f"the process that predicted this crystal {lost}"}
        return json.dumps(said | self._engine).encode()
