"""A model that knows gaps alone, beside the engines: MatGL's MEGNet, trained on the gaps of the formulas that the engines learn.

It needs an environment of its own, since bandrt does not depend on MatGL (which needs torch and PyTorch Geometric, no DGL):

    python -m venv megnet && megnet/bin/pip install matgl==4.1.2 torch==2.13.0 .
    export OMP_NUM_THREADS=1
    megnet/bin/python -m benchmarks.gap_baseline train/gaps/materials-project.csv.gz -o train/results/gap-baseline.json

It is trained on crystals of the training split, to the mean absolute error of the gap, 0 for metals, on their cells as the table
has them. The validation split chooses below which gap a crystal is called a metal, as it does for an engine. It is tested on the
crystals that `tools/engine_gaps.py` draws from the test split. Times are those of the processor, so that waiting for a busy machine
is not counted. The state of the training is kept beside OUT, as OUT.pt: with --resume an interrupted one goes on after its last
whole epoch.

Source of the model: Chen et al., Chem. Mater. 31, 3564 (2019); of its code: Ko et al., npj Comput. Mater. 11, 253 (2025).
"""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from tools.engine_gaps import held_out, scores
from torch_geometric.data import Batch, Data

from bandrt.crystal import Crystal
from bandrt.elements import SYMBOLS
from bandrt.files import replaced
from bandrt.machine.versions import processor
from bandrt_train.data.dataset import Split
from bandrt_train.data.gap_labels import crystals_of_split, find_gaps

CUTOFF = 4.0
"""Å: bonds are as long as that; the default of the model."""
MIN_RATE = 0.01
"""Share of the learning rate that is left at the end."""
LARGE_EV = 2.0
"""No crystal with a predicted gap above this is called a metal, whatever validation says."""


@dataclass(frozen=True)
class Labelled:
    """Graphs of crystals with their gaps.

    Attributes:
        graphs: n crystals.
        gap: (n,) eV, 0 for metals.
    """

    graphs: list[Data]
    gap: torch.Tensor


@dataclass(frozen=True)
class Rate:
    """The learning rate: constant, then falling in a line, so that a shorter training is the beginning of a longer one."""

    highest: float
    epochs: int
    cooling: int
    """Epochs over which it falls, the last ones."""

    def at(self, epoch: float) -> float:
        """After so many epochs."""
        left = min(1.0, (self.epochs - epoch) / max(1, self.cooling))
        return self.highest * (MIN_RATE + (1.0 - MIN_RATE) * left)


@click.command(help=__doc__)
@click.argument("table", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--epochs", default=60, show_default=True)
@click.option("--cooling", default=5, show_default=True, help="The last epochs, over which the learning rate falls.")
@click.option("--batch-size", default=64, show_default=True)
@click.option("--learning-rate", default=1e-3, show_default=True)
@click.option("--max-atoms", default=20, show_default=True, help="Of a crystal, in training and in the test.")
@click.option("--limit", default=400, show_default=True, help="Crystals of the test.")
@click.option("--seed", default=0, show_default=True)
@click.option("--resume", is_flag=True, help="Go on with what OUT.pt holds.")
def main(
    table: Path,
    out: Path,
    epochs: int,
    cooling: int,
    batch_size: int,
    learning_rate: float,
    max_atoms: int,
    limit: int,
    seed: int,
    resume: bool,
) -> None:
    from matgl.config import DEFAULT_ELEMENTS
    from matgl.models import MEGNet

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    drawn = held_out(table, limit, max_atoms)
    graph_of = known_graph(converter(DEFAULT_ELEMENTS))
    learned, watched = (labelled(table, split, max_atoms, graph_of) for split in ("train", "validation"))
    click.echo(f"{len(learned.gap)} crystals to learn, {len(watched.gap)} of the validation split, {len(drawn)} to test", err=True)
    model = MEGNet(element_types=DEFAULT_ELEMENTS, cutoff=CUTOFF)
    rate = Rate(learning_rate, epochs, cooling)
    cpu_s = train(model, learned, rate, batch_size, seed, out.with_suffix(".pt"), resume)
    tolerance = metal_tolerance(predictions(model, watched.graphs), watched.gap.numpy())
    tested = [graph_of(crystal) for _, crystal, _ in drawn]
    own = iter(predictions(model, [one for one in tested if one is not None]).tolist())
    gaps = [None if one is None else next(own) for one in tested]
    found = [0.0 if gap is not None and gap < tolerance else gap for gap in gaps]
    classes = scores(drawn, found)
    for of, values in classes.items():
        click.echo("  ".join([of, *(f"{key} {value}" for key, value in values.items())]))
    report = {
        "table": table.name,
        "max_atoms": max_atoms,
        "n_drawn": len(drawn),
        "failed": found.count(None),
        "model": {
            "name": "MEGNet",
            "n_parameters": sum(one.numel() for one in model.parameters()),
            "cutoff_angstrom": CUTOFF,
            "metal_below_ev": tolerance,
        },
        "training": {
            "n_crystals": len(learned.gap),
            "epochs": epochs,
            "cooling": cooling,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
            "cpu_minutes": round(cpu_s / 60.0, 1),
        },
        "machine": {"processor": processor(), "python": platform.python_version(), "date": str(date.today())},
        "versions": {name: version(name) for name in ("matgl", "torch", "torch_geometric", "numpy")},
        "classes": classes,
        "crystals": [
            {"id": name, "gap_ev": gap, "found_ev": round(one, 4)}
            for (name, _, gap), one in zip(drawn, found, strict=True)
            if one is not None
        ],
    }
    with replaced(out) as file:
        file.write(json.dumps(report, indent=1) + "\n")


def converter(elements: Sequence[str]) -> Callable[[Crystal], Data]:
    """What makes the graph of a crystal, as MatGL does, with positions and shifts in Å."""
    from matgl.ext.pymatgen import Structure2Graph
    from pymatgen.core import Structure

    made = Structure2Graph(elements, CUTOFF)

    def graph_of(crystal: Crystal) -> Data:
        structure = Structure(crystal.lattice, [SYMBOLS[z] for z in crystal.atomic_numbers.tolist()], crystal.frac_coords)
        graph, lattice, _ = made.get_graph(structure)
        matrix = lattice.reshape(3, 3)
        return Data(
            num_nodes=crystal.n_atoms,
            node_type=graph.node_type,
            edge_index=graph.edge_index.long(),
            pos=graph.frac_coords.float() @ matrix.float(),  # (n_atoms, 3)
            pbc_offshift=graph.pbc_offset.float() @ matrix.float(),  # (n_bonds, 3)
        )

    return graph_of


def known_graph(graph_of: Callable[[Crystal], Data]) -> Callable[[Crystal], Data | None]:
    """The same, but None for crystals without bonds and those with elements that the model does not know."""

    def made(crystal: Crystal) -> Data | None:
        try:
            graph = graph_of(crystal)
        except KeyError:  # an element
            return None
        return graph if graph.edge_index.shape[1] else None

    return made


def labelled(table: Path, split: Split, max_atoms: int, graph_of: Callable[[Crystal], Data | None]) -> Labelled:
    """The crystals of a split that are small enough, and that the model can have."""
    graphs, gaps = [], []
    for _, crystal, gap in crystals_of_split(find_gaps(table), split, max_atoms=max_atoms):
        if (graph := graph_of(crystal)) is not None:
            graphs.append(graph)
            gaps.append(gap)
    return Labelled(graphs, torch.tensor(gaps))


def train(model: Any, learned: Labelled, rate: Rate, batch_size: int, seed: int, state: Path, resume: bool) -> float:
    """Train, and leave the weights of the last epoch; returns seconds of processor time."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate.highest)
    done, before = 0, 0.0
    if resume and state.exists():
        kept = torch.load(state, weights_only=True)
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        done, before = kept["epochs"], kept["cpu_s"]
    start = time.process_time()
    n_batches = math.ceil(len(learned.gap) / batch_size)
    for epoch in range(done, rate.epochs):
        model.train()
        order = np.random.default_rng([seed, epoch]).permutation(len(learned.gap))
        errors = []
        for place, some in enumerate(np.array_split(order, n_batches)):
            for group in optimizer.param_groups:
                group["lr"] = rate.at(epoch + place / n_batches)
            loss = (output(model, [learned.graphs[i] for i in some]) - learned.gap[torch.from_numpy(some)]).abs().mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            errors.append(float(loss.detach()))
        cpu_s = before + time.process_time() - start
        click.echo(f"epoch {epoch + 1}: {np.mean(errors):.4f} eV, {cpu_s / 60.0:.1f} min", err=True)
        with replaced(state, "wb") as file:
            torch.save(
                {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epochs": epoch + 1, "cpu_s": cpu_s}, file
            )
    return before + time.process_time() - start


def output(model: Any, graphs: list[Data]) -> torch.Tensor:
    """What the model says of some crystals, (n,) eV."""
    batch = Batch.from_data_list(graphs)
    said: torch.Tensor = model(batch, torch.zeros(len(graphs), 2))  # no state of a crystal beside its atoms and bonds
    return said.reshape(len(graphs))


@torch.no_grad()
def predictions(model: Any, graphs: list[Data], batch_size: int = 128) -> NDArray[np.float64]:
    """Gaps, (n,) eV, none of them negative."""
    model.eval()
    made = [output(model, some).numpy() for some in _parts(graphs, batch_size)]
    return np.maximum(np.concatenate(made).astype(np.float64), 0.0)


def _parts(graphs: list[Data], size: int) -> Iterator[list[Data]]:
    return (graphs[start : start + size] for start in range(0, len(graphs), size))


def metal_tolerance(found: NDArray[np.float64], gap: NDArray[np.float64]) -> float:
    """Below which predicted gap, eV, a crystal is best called a metal: where most are right, the lowest of several."""
    tried = np.linspace(0.0, LARGE_EV, 201)
    right = ((found[:, None] >= tried) == (gap > 0.0)[:, None]).mean(axis=0)
    return float(tried[int(right.argmax())])


if __name__ == "__main__":
    main()
