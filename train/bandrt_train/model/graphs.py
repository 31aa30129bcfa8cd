"""From an engine's features to PyG graphs: the same crystal, without the padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch_geometric.data import Batch, Data

if TYPE_CHECKING:
    from bandrt.features import Features


def to_data(features: Features) -> Data:
    """Turn the features of one crystal into a PyG graph.

    Returns:
        A graph with ``atomic_numbers`` (n,) int64, ``edge_index`` (2, n_edges) int64 (neighbour above the atom it sends
        to), ``edge_length`` (n_edges,) float32 in Å, ``edge_image`` (n_edges, 3) int32, the cell that the neighbour lies in, and
        ``kpoints`` (1, K, 3) float32 in the recipe's frame.
    """
    mask = torch.as_tensor(features.neighbor_mask)
    target = torch.nonzero(mask)[:, 0]
    source = torch.as_tensor(features.neighbor_index, dtype=torch.int64)[mask]
    return Data(
        atomic_numbers=torch.as_tensor(features.atomic_numbers, dtype=torch.int64),
        edge_index=torch.stack([source, target]),
        edge_length=torch.as_tensor(features.neighbor_distance)[mask],
        edge_image=torch.as_tensor(features.neighbor_image)[mask],
        kpoints=torch.as_tensor(features.kpoints).unsqueeze(0),
        num_nodes=len(features.atomic_numbers),
    )


def to_batch(features: Sequence[Features]) -> Batch:
    """Join crystals into one PyG batch, in order."""
    return Batch.from_data_list([to_data(one) for one in features])
