"""Many calls of a session from several threads, each answer compared with the right one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np

from bandrt.engine.session import Inputs, Outputs

N_THREADS, N_CALLS = 8, 10_000
SWITCH_S = 1e-4
"""How long a thread runs before another may: a fiftieth of what Python does, so that races show."""


def wrong_answers(
    run: Callable[[Inputs], Outputs],
    batches: Sequence[Inputs],
    wanted: Sequence[np.ndarray],
    *,
    tolerance_ev: float,
    calls: int = N_CALLS,
) -> int:
    """Call a session from `N_THREADS` threads at once; how many band energies were wrong.

    Args:
        run: of the session.
        batches: what it is asked, in turn, by each thread from another place.
        wanted: the right band energies of each batch.
        tolerance_ev: how far a right answer may be off.
        calls: in all.
    """
    start = Barrier(N_THREADS)

    def of_thread(thread: int) -> int:
        wrong = 0
        start.wait()
        for call in range(thread, thread + calls // N_THREADS):
            found = run(batches[call % len(batches)])["band_energies"]
            right = wanted[call % len(batches)]
            wrong += not (found.shape == right.shape and np.allclose(found, right, atol=tolerance_ev, rtol=0))
        return wrong

    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        with ThreadPoolExecutor(N_THREADS) as pool:
            return sum(pool.map(of_thread, range(N_THREADS)))
    finally:
        sys.setswitchinterval(before)
