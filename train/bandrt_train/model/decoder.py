"""The graph2seq decoder: the k-points of a path attend to each other and to the atoms of the crystal.

As in the encoder, the attention kernel is a parameterless choice: `FusedAttention` here, an explicit one in the export.
Source: arXiv 2411.16483 Eq. 2-3 and Fig. 1 (e).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bandrt_train.model.config import ModelConfig
from bandrt_train.model.encoder import FeedForward


class KpointEncoding(nn.Module):
    """Turn coordinates into waves: ``cos`` and ``sin`` of ``2 pi omega_n k`` for each component of k.

    ``omega_n = 10^(-n / (dim - 1))`` for n = 0 .. dim - 1, ``dim = d_model / 6``. Source: arXiv 2411.16483 Eq. 2-3.
    """

    angular_frequency: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.d_model // 6
        exponent = -torch.arange(dim, dtype=torch.float64) / (dim - 1)
        self.register_buffer("angular_frequency", (2.0 * math.pi * 10.0**exponent).float())

    def forward(self, kpoints: Tensor) -> Tensor:
        """(B, K, 3) to (B, K, d_model): all cosines, then all sines, component by component."""
        phase = (kpoints.unsqueeze(-1) * self.angular_frequency).flatten(-2)  # (B, K, 3 * dim)
        return torch.cat([torch.cos(phase), torch.sin(phase)], dim=-1)


class Memory(NamedTuple):
    """What the decoder looks up: the encoded atoms of each crystal, padded to the largest."""

    nodes: Tensor
    """(B, N, d_model); zero on padding."""
    mask: Tensor
    """(B, N) bool: which are atoms."""


def mean_atom(memory: Memory) -> Tensor:
    """The mean over the atoms of each crystal, (B, d_model); zero for a crystal of padding alone."""
    present = memory.mask.unsqueeze(-1).to(memory.nodes.dtype)  # (B, N, 1)
    return (memory.nodes * present).sum(dim=1) / present.sum(dim=1).clamp(min=1.0)


class Attention(nn.Module):
    """Projections of multi-head attention; a subclass says how queries, keys and values combine."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.scale = config.d_head**-0.5
        self.dropout = config.dropout
        self.out = nn.Linear(config.d_model, config.d_model)

    def split_heads(self, projected: Tensor) -> Tensor:
        """(B, L, d_model) to (B, n_heads, L, d_head)."""
        return torch.unflatten(projected, -1, (self.n_heads, -1)).transpose(1, 2)

    def join_heads(self, attended: Tensor) -> Tensor:
        """(B, n_heads, L, d_head) to (B, L, d_model), mixed by the output layer."""
        joined: Tensor = self.out(attended.transpose(1, 2).flatten(-2))
        return joined


class SelfAttention(Attention):
    """Every k-point of a path looks at every other."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.query_key_value = nn.Linear(config.d_model, 3 * config.d_model)

    def forward(self, sequence: Tensor) -> Tensor:
        """(B, K, d_model) to (B, K, d_model)."""
        query, key, value = (self.split_heads(part) for part in self.query_key_value(sequence).chunk(3, dim=-1))
        dropout = self.dropout if self.training else 0.0
        return self.join_heads(F.scaled_dot_product_attention(query, key, value, dropout_p=dropout))


class CrossAttention(Attention):
    """Every k-point of a path looks at every atom of its crystal (graph2seq)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.query = nn.Linear(config.d_model, config.d_model)
        self.key_value = nn.Linear(config.d_model, 2 * config.d_model)

    def forward(self, sequence: Tensor, memory: Memory) -> Tensor:
        """(B, K, d_model) to (B, K, d_model)."""
        query = self.split_heads(self.query(sequence))
        key, value = (self.split_heads(part) for part in self.key_value(memory.nodes).chunk(2, dim=-1))
        dropout = self.dropout if self.training else 0.0
        visible = memory.mask[:, None, None, :]  # (B, 1, 1, N)
        return self.join_heads(F.scaled_dot_product_attention(query, key, value, attn_mask=visible, dropout_p=dropout))


class DecoderLayer(nn.Module):
    """Along the path, to the atoms, then each k-point alone; every step normalised first and added."""

    def __init__(self, config: ModelConfig, self_attention: type[SelfAttention], cross_attention: type[CrossAttention]) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(config.d_model)
        self.self_attention = self_attention(config)
        self.cross_norm = nn.LayerNorm(config.d_model)
        self.cross_attention = cross_attention(config)
        self.feed_forward_norm = nn.LayerNorm(config.d_model)
        self.feed_forward = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def silence(self) -> None:
        """Let it add nothing until it has learned to: what a layer starts from that is put on a trained model."""
        for last in (self.self_attention.out, self.cross_attention.out, self.feed_forward[-1]):
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, sequence: Tensor, memory: Memory) -> Tensor:
        """(B, K, d_model) to (B, K, d_model)."""
        sequence = sequence + self.dropout(self.self_attention(self.self_norm(sequence)))
        sequence = sequence + self.dropout(self.cross_attention(self.cross_norm(sequence), memory))
        updated: Tensor = sequence + self.dropout(self.feed_forward(self.feed_forward_norm(sequence)))
        return updated


class Decoder(nn.Module):
    """From k-points and encoded atoms to one feature per k-point."""

    def __init__(
        self,
        config: ModelConfig,
        self_attention: type[SelfAttention] = SelfAttention,
        cross_attention: type[CrossAttention] = CrossAttention,
    ) -> None:
        super().__init__()
        self.encoding = KpointEncoding(config) if config.kpoint_encoding else None
        self.layers = nn.ModuleList(DecoderLayer(config, self_attention, cross_attention) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.d_model)

    def forward(self, kpoints: Tensor, memory: Memory, known: Tensor | None = None) -> Tensor:
        """(B, K, 3) to (B, K, d_model), from what is already `known` of the k-points, (B, K, d_model), if anything is."""
        sequence = known
        if self.encoding is not None:
            encoded: Tensor = self.encoding(kpoints)
            sequence = encoded if known is None else known + encoded
        for layer in self.layers:
            sequence = layer(sequence, memory)
        normed: Tensor = self.norm(sequence)
        return normed
