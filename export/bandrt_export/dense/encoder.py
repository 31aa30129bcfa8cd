"""Edge-biased attention on padded arrays: what `bandrt_train.model.encoder` computes, with fewer and smaller operations.

Queries and keys only ever meet in a product, so their maps become one map for each head and the states of the neighbours are
gathered once, as they are. Values are linear in those states and in the expanded distances, so both are pooled first and mapped
once for each atom, not for each of its neighbours.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bandrt_export.dense.masking import masked_softmax
from bandrt_train.model.encoder import EdgeBiasedAttention


class DenseEdges(NamedTuple):
    """The neighbours of all atoms of a batch, atoms counted through it: M = B * N."""

    neighbor: Tensor
    """(M, D) int64: counted through the batch."""
    gaussians: Tensor
    """(M, D, n_gaussians): expanded distances."""
    mask: Tensor
    """(M, D) bool: which slots hold a neighbour."""


class GatheredAttention(nn.Module):
    """A trained `EdgeBiasedAttention` over `DenseEdges`, to be run and not to be trained."""

    @torch.no_grad()
    def __init__(self, attention: EdgeBiasedAttention) -> None:
        super().__init__()
        self.n_heads = attention.n_heads
        query, key, value = (_by_head(layer, self.n_heads) for layer in (attention.query, attention.key, attention.value))
        d_model = attention.query.in_features
        self.query_key = nn.Linear(d_model, self.n_heads * d_model, bias=False)
        self.query_key.weight.copy_((attention.scale * key.transpose(1, 2) @ query).flatten(0, 1))
        self.edge_bias = attention.edge_bias
        self.value = HeadMaps(value)
        self.edge_value = None if attention.edge_value is None else HeadMaps(_by_head(attention.edge_value, self.n_heads))

    def forward(self, nodes: Tensor, edges: DenseEdges) -> Tensor:
        """(M, d_model) to (M, d_model)."""
        around = F.embedding(edges.neighbor, nodes)  # (M, D, d_model)
        asked = self.query_key(nodes).unflatten(1, (self.n_heads, -1))  # (M, n_heads, d_model)
        score = torch.matmul(asked, around.transpose(1, 2)) + self.edge_bias(edges.gaussians).transpose(1, 2)  # (M, n_heads, D)
        weight = masked_softmax(score, edges.mask.unsqueeze(1))
        gathered: Tensor = self.value(torch.matmul(weight, around))
        if self.edge_value is not None:
            gathered = gathered + self.edge_value(torch.matmul(weight, edges.gaussians))
        return gathered


class HeadMaps(nn.Module):
    """A linear map for each head, applied to what that head has pooled."""

    weight: Tensor

    def __init__(self, weight: Tensor) -> None:
        """Take maps of a layout like (n_heads, d_head, d_in)."""
        super().__init__()
        self.register_buffer("weight", weight.float().transpose(1, 2).contiguous())

    def forward(self, pooled: Tensor) -> Tensor:
        """(..., n_heads, d_in) to (..., n_heads * d_head)."""
        return torch.matmul(pooled.unsqueeze(-2), self.weight).flatten(-3)


def _by_head(layer: nn.Linear, n_heads: int) -> Tensor:
    """Weights of a linear map in double precision, (n_heads, d_head, d_in)."""
    return torch.unflatten(layer.weight.double(), 0, (n_heads, -1))
