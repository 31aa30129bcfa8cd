"""What the tests of benchmarks share with those of the packages."""

from __future__ import annotations

from tests.export.conftest import exported
from tests.runtime.conftest import machine, make_engine, tiny_engine
from tests.train.conftest import label_texts, labels

__all__ = ["exported", "label_texts", "labels", "machine", "make_engine", "tiny_engine"]
