"""``python -m tests.fuzz 200000``: damaged inputs are read and featurised in child processes, and what is no typed error is told.

A number is an input: ``python -m tests.fuzz --show 123`` writes it to the current folder.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fuzz.child import input_of
from tests.fuzz.corpus import corpus
from tests.fuzz.runner import fuzz


def main() -> int:
    """Run the fuzzer; 1 if it found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("inputs", type=int, nargs="?", default=2000)
    parser.add_argument("--start", type=int, default=0, help="number of the first input")
    parser.add_argument("--show", type=int, metavar="NUMBER", help="write this input to the current folder")
    chosen = parser.parse_args()
    if chosen.show is not None:
        name, raw = input_of(chosen.show, corpus())
        Path(f"{chosen.show}-{name}").write_bytes(raw)
        return 0
    report = fuzz(chosen.start, chosen.inputs, tell=lambda line: print(line, flush=True))
    print(report.summary())
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
