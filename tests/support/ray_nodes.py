"""A Ray cluster of two nodes on this machine, one of which is killed while it predicts.

``python -m tests.support.ray_nodes IN OUT SCRATCH`` runs `examples/ray_parquet.py` from IN to OUT, and prints as JSON which nodes
predicted what, and which was killed. What the actors do is noted in SCRATCH.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import uuid
from pathlib import Path
from threading import Event, Thread
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STORE_BYTES = 100 * 2**20
LATEST_S = 400
"""After which nobody waits for the node any more that shall be killed."""
SETTINGS = {"prestart_worker_first_driver": False, "worker_register_timeout_seconds": 600, "agent_register_timeout_ms": 600_000}
"""Ray starts no more processes than it needs, and no others because those are slow, as on a busy machine."""


def main(given: str, out: str, scratch: str) -> None:
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_DATA_DISABLE_PROGRESS_BARS="1", RAY_raylet_start_wait_time_s="120")
    import ray
    from ray.cluster_utils import Cluster

    import bandrt.ray

    notes, due = Path(scratch), Path(scratch, "due")
    head = {"num_cpus": 3, "object_store_memory": STORE_BYTES, "include_dashboard": False, "_system_config": SETTINGS}
    cluster = Cluster(initialize_head=True, head_node_args=head)  # it has room for both actors, and for another task
    doomed = cluster.add_node(num_cpus=2, object_store_memory=STORE_BYTES)
    cluster.wait_for_nodes()
    doomed_id = doomed.node_id
    ray.init(address=cluster.address, logging_level="error", log_to_driver=False)

    class Noted(bandrt.ray.Predictor):
        """Tells what it does; on the node that shall be killed it gets stuck in its second batch."""

        n_batches = 0

        def __call__(self, batch: Any) -> Any:
            node = ray.get_runtime_context().get_node_id()
            self.n_batches += 1
            if node == doomed_id and self.n_batches > 1:
                due.touch()
                Event().wait()
            done = super().__call__(batch)
            note = {"node": node, "n_rows": done.num_rows, "given": bandrt.ray.given_by_ray(), "actor": os.getpid()}
            (notes / f"{uuid.uuid4().hex}.json").write_text(json.dumps(note), encoding="utf-8")
            return done

    bandrt.ray.Predictor = Noted  # type: ignore[misc]
    over = Event()

    def kill() -> None:
        waited = 0.0
        while not due.exists() and waited < LATEST_S and not over.wait(0.1):
            waited += 0.1
        cluster.remove_node(doomed, allow_graceful=False)

    killer = Thread(target=kill)
    killer.start()
    sys.argv = ["ray_parquet.py", given, out, "--engine", "fast", "--actors", "2", "--rows", "6", "--bands"]
    try:
        runpy.run_path(str(ROOT / "examples" / "ray_parquet.py"), run_name="__main__")
    finally:
        over.set()
        killer.join()
        ray.shutdown()
        cluster.shutdown()
    done = [json.loads(path.read_text(encoding="utf-8")) for path in notes.glob("*.json")]
    print(json.dumps({"doomed": doomed_id, "killed_at_work": due.exists(), "batches": done}))


if __name__ == "__main__":
    main(*sys.argv[1:])
