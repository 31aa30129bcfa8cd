"""Gaps of the crystals in Parquet files, on all nodes of a Ray cluster: python ray_parquet.py IN OUT [--actors N]

IN is a file or folder with the columns ``material_id`` and ``cif``, seen by all nodes; OUT becomes a folder of Parquet files with a
row for each of IN: ``id``, ``band_gap_ev`` and so on, and ``error`` where a crystal cannot be used.
"""

from __future__ import annotations

import argparse

import ray

from bandrt.ray import Predictor

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("input", metavar="IN")
parser.add_argument("output", metavar="OUT")
parser.add_argument("--engine", default="accurate", help="a name, or a file that is on all nodes")
parser.add_argument("--actors", type=int, default=2, help="engines that are open at once")
parser.add_argument("--cpus", type=int, default=1, help="cores of an actor")
parser.add_argument("--gpus", type=float, default=0, help="GPUs of an actor, or a share of one")
parser.add_argument("--rows", type=int, default=256, help="crystals that an actor takes at once, and that a killed node loses")
parser.add_argument("--bands", action="store_true", help="write the bands, too")
chosen = parser.parse_args()

crystals = ray.data.read_parquet(chosen.input, columns=["material_id", "cif"])
predicted = crystals.repartition(target_num_rows_per_block=chosen.rows).map_batches(  # small files are one block, for one actor
    Predictor,
    fn_constructor_kwargs={"engine": chosen.engine, "bands": chosen.bands},
    batch_size=None,  # a block
    compute=ray.data.ActorPoolStrategy(size=chosen.actors),
    num_cpus=chosen.cpus,
    num_gpus=chosen.gpus,
)
predicted.write_parquet(chosen.output)
