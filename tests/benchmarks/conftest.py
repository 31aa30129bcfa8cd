"""What benchmarks run on in tests: the tiny engine and the simulated GPU of the runtime's tests, documents of the training ones."""

from __future__ import annotations

from tests.runtime.conftest import machine, make_engine, tiny_engine
from tests.train.conftest import label_texts

__all__ = ["label_texts", "machine", "make_engine", "tiny_engine"]
