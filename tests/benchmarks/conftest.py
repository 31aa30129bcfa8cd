"""The tiny engine and the simulated machine of the runtime's tests, for the scripts that measure."""

from tests.runtime.conftest import machine, make_engine, tiny_engine

__all__ = ["machine", "make_engine", "tiny_engine"]
