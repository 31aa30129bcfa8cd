"""The process in which damaged inputs are read: it may hang or die of one, and says before each which it is."""

from __future__ import annotations

import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bandrt.errors import BandrtError, InputError
from bandrt.features import featurize_crystals
from bandrt.outcomes import outcome_of
from bandrt.readers import to_crystal
from bandrt.recipe import Recipe
from bandrt.sources import find
from tests.fuzz.corpus import corpus
from tests.fuzz.mutations import mutated

UNFORESEEN = ("reader-failed", "symmetry-failed", "features-failed")
"""Codes of what nobody foresaw: typed, but worth a look."""
HANG_SECONDS = 30.0
"""Of CPU time for one input: a busy machine makes nothing hang. The process then ends with `SIGPROF`, also in native code."""


def input_of(number: int, seeds: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """The damaged input of a number: its name and its bytes."""
    random_ = random.Random(number)
    name, raw = random_.choice(seeds)
    return name, mutated(raw, random_)


def tried(path: Path, recipe: Recipe) -> list[str]:
    """Read and featurise all that is in a file; the codes of its failures, and ``right`` for each crystal.

    Raises:
        BaseException: whatever is no typed error.
    """
    try:
        crystals = [outcome_of(source.read) for source in find(path)]
    except BandrtError as error:  # such as a table without a row
        return [f"{error.code}: {error.message}"]
    if not path.name.endswith((".zip", ".csv", ".jsonl")) and ".tar" not in path.name:
        crystals.append(outcome_of(lambda: to_crystal(path)))
    outcomes = featurize_crystals(crystals, recipe, names=[path.name] * len(crystals))
    return [f"{one.code}: {one.message}" if isinstance(one, InputError) else "right" for one in outcomes]


def main(start: int, end: int) -> None:
    """Try inputs by their numbers; a line of JSON for each that is slow, or raises what is no typed error, and one at the end."""
    seeds, recipe, codes = corpus(), Recipe(), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(start, end):
            name, raw = input_of(number, seeds)
            path = Path(folder) / name
            path.write_bytes(raw)
            print(json.dumps({"at": number}), flush=True)
            signal.setitimer(signal.ITIMER_PROF, HANG_SECONDS)
            began = time.process_time()
            try:
                for outcome in tried(path, recipe):
                    code = outcome.partition(":")[0]
                    codes[code] += 1
                    if code in UNFORESEEN and " at " in outcome:
                        print(json.dumps({"number": number, "name": name, "found": outcome[:300], "typed": True}))
            except BaseException as error:
                print(json.dumps({"number": number, "name": name, "found": repr(error)[:300], "typed": False}))
            codes["inputs"] += 1
            print(json.dumps({"done": number, "name": name, "seconds": time.process_time() - began}))
            path.unlink()
    print(json.dumps({"codes": codes}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
