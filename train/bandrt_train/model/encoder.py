"""The graph transformer encoder: atoms exchange messages with their neighbours, weighted by edge-biased attention.

The layers here are shared with the dense model that is exported; only the attention over neighbours differs between
them (`SparseAttention` here, a padded one there), so both have the same parameters under the same names.
Source: arXiv 2411.16483 Eq. 1 and Fig. 1 (d).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import softmax

from bandrt_train.model.config import ModelConfig


class SparseEdges(NamedTuple):
    """The edges of a batch of crystal graphs, as PyG keeps them."""

    pairs: Tensor
    """(2, n_edges) int64: the neighbour j (source) above the atom i (target) that it sends to."""
    gaussians: Tensor
    """(n_edges, n_gaussians): expanded distances."""


class GaussianExpansion(nn.Module):
    """Expand distances in Gaussians that are as wide as they are apart."""

    centers: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.inverse_width = (config.n_gaussians - 1) / config.max_distance  # 1/Å
        self.register_buffer("centers", torch.linspace(0.0, config.max_distance, config.n_gaussians))

    def forward(self, distance: Tensor) -> Tensor:
        """(...) Å to (..., n_gaussians)."""
        return torch.exp(-(((distance.unsqueeze(-1) - self.centers) * self.inverse_width) ** 2))


class EdgeBiasedAttention(nn.Module):
    """The bias-free projections of Eq. 1; a subclass gathers the neighbours.

    Of a subclass, ``forward(nodes, edges)`` takes (n_atoms, d_model) and edges in the form that it knows, and returns
    ``sum_j alpha_ij v_j``, (n_atoms, d_model), with ``alpha_ij = softmax_j(q_i . k_j / sqrt(d_head) + m_ij)`` for each
    head; exactly zero for an atom without neighbours.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.scale = config.d_head**-0.5
        self.query = nn.Linear(config.d_model, config.d_model, bias=False)
        self.key = nn.Linear(config.d_model, config.d_model, bias=False)
        self.value = nn.Linear(config.d_model, config.d_model, bias=False)
        self.edge_bias = nn.Linear(config.n_gaussians, config.n_heads, bias=False)
        self.edge_value = nn.Linear(config.n_gaussians, config.d_model, bias=False) if config.edge_values else None

    def split_heads(self, projected: Tensor) -> Tensor:
        """(..., d_model) to (..., n_heads, d_head)."""
        return torch.unflatten(projected, -1, (self.n_heads, -1))


class SparseAttention(EdgeBiasedAttention):
    """Edge-biased attention as PyG message passing over `SparseEdges`: the reference."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.messages = AttentionMessages(self.scale, config.dropout)

    def forward(self, nodes: Tensor, edges: SparseEdges) -> Tensor:
        """(n_atoms, d_model) to (n_atoms, d_model)."""
        query, key, value = (self.split_heads(linear(nodes)) for linear in (self.query, self.key, self.value))
        bias = self.edge_bias(edges.gaussians)  # (n_edges, n_heads)
        carried = None if self.edge_value is None else self.split_heads(self.edge_value(edges.gaussians))
        gathered: Tensor = self.messages(edges.pairs, query=query, key=key, value=value, bias=bias, carried=carried)
        return gathered.flatten(-2)


class AttentionMessages(MessagePassing):
    """Sum the neighbours' values, each weighted by a softmax over the edges that arrive at the same atom."""

    def __init__(self, scale: float, dropout: float) -> None:
        super().__init__(aggr="add", node_dim=0)
        self.scale = scale
        self.dropout = nn.Dropout(dropout)

    def forward(self, edge_index: Tensor, **heads: Any) -> Tensor:
        """Per atom and head (n_atoms, n_heads, d_head), per edge and head bias (n_edges, n_heads)."""
        summed: Tensor = self.propagate(edge_index, **heads)
        return summed

    def message(
        self,
        query_i: Tensor,
        key_j: Tensor,
        value_j: Tensor,
        bias: Tensor,
        carried: Tensor | None,
        index: Tensor,
        ptr: Tensor | None,
        size_i: int | None,
    ) -> Tensor:
        """What each edge brings, (n_edges, n_heads, d_head)."""
        score = (query_i * key_j).sum(-1) * self.scale + bias
        weight = self.dropout(softmax(score, index, ptr, size_i))
        said = value_j if carried is None else value_j + carried
        brought: Tensor = weight.unsqueeze(-1) * said
        return brought


class FeedForward(nn.Sequential):
    """Two linear layers with a GELU between them, on each atom or k-point."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(
            nn.Linear(config.d_model, config.d_feedforward),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.d_feedforward, config.d_model),
        )


class EncoderLayer(nn.Module):
    """``x <- x + LayerNorm(attention(x))``, then ``x <- x + LayerNorm(feed_forward(x))``."""

    def __init__(self, config: ModelConfig, attention: type[EdgeBiasedAttention]) -> None:
        super().__init__()
        self.attention = attention(config)
        self.attention_norm = nn.LayerNorm(config.d_model)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = nn.LayerNorm(config.d_model)

    def silence(self) -> None:
        """Let it add nothing until it has learned to: what a layer starts from that is put on a trained model."""
        for norm in (self.attention_norm, self.feed_forward_norm):
            nn.init.zeros_(norm.weight)
            nn.init.zeros_(norm.bias)

    def forward(self, nodes: Tensor, edges: NamedTuple) -> Tensor:
        """(n_atoms, d_model) to (n_atoms, d_model)."""
        heard: Tensor = nodes + self.attention_norm(self.attention(nodes, edges))
        updated: Tensor = heard + self.feed_forward_norm(self.feed_forward(heard))
        return updated


class Encoder(nn.Module):
    """All rounds of messages."""

    def __init__(self, config: ModelConfig, attention: type[EdgeBiasedAttention]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config, attention) for _ in range(config.encoder_layers))

    def forward(self, nodes: Tensor, edges: NamedTuple) -> Tensor:
        """(n_atoms, d_model) to (n_atoms, d_model)."""
        for layer in self.layers:
            nodes = layer(nodes, edges)
        return nodes
