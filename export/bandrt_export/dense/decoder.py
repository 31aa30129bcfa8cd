"""The attention of the decoder in operations that every backend takes, and with what is linear multiplied together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bandrt_export.dense.masking import masked_bias
from bandrt_train.model.decoder import CrossAttention, Memory, SelfAttention


class ExplicitSelfAttention(SelfAttention):
    """Self-attention with the softmax written out."""

    def forward(self, sequence: Tensor) -> Tensor:
        """(B, K, d_model) to (B, K, d_model)."""
        query, key, value = (self.split_heads(part) for part in self.query_key_value(sequence).chunk(3, dim=-1))
        score = torch.matmul(query * self.scale, key.transpose(-1, -2))  # (B, n_heads, K, K)
        return self.join_heads(torch.matmul(torch.softmax(score, dim=-1), value))


class FoldedCrossAttention(nn.Module):
    """A trained `CrossAttention`, to be run and not to be trained.

    There are fewer atoms than k-points, so the maps of the k-points, of queries before and of the output after, are applied to the
    atoms instead. What is the same for all atoms does not change a softmax over them, and drops out.
    """

    bias: Tensor

    @torch.no_grad()
    def __init__(self, attention: CrossAttention) -> None:
        super().__init__()
        n_heads, d_model = attention.n_heads, attention.query.in_features
        key, value = torch.unflatten(attention.key_value.weight.double(), 0, (2, n_heads, -1))  # (n_heads, d_head, d_model) each
        query = attention.scale * torch.unflatten(attention.query.weight.double(), 0, (n_heads, -1))
        query_bias = attention.scale * torch.unflatten(attention.query.bias.double(), 0, (n_heads, 1, -1))  # (n_heads, 1, d_head)
        out = attention.out.weight.double()
        out_by_head = torch.unflatten(out, 1, (n_heads, -1)).transpose(0, 1)  # (n_heads, d_model, d_head)
        self.n_heads = n_heads
        self.keys = nn.Linear(d_model, n_heads * d_model, bias=False)
        self.keys.weight.copy_((query.transpose(1, 2) @ key).flatten(0, 1))
        self.biases = nn.Linear(d_model, n_heads, bias=False)
        self.biases.weight.copy_((query_bias @ key).squeeze(1))
        self.values = nn.Linear(d_model, n_heads * d_model, bias=False)
        self.values.weight.copy_((out_by_head @ value).flatten(0, 1))
        self.register_buffer("bias", (out @ attention.key_value.bias.double().chunk(2)[1] + attention.out.bias.double()).float())

    def forward(self, sequence: Tensor, memory: Memory) -> Tensor:
        """(B, K, d_model) to (B, K, d_model)."""
        nodes = memory.nodes
        keys = self._by_head(self.keys(nodes))  # (B, n_heads * N, d_model)
        bias = self.biases(nodes).transpose(1, 2) + masked_bias(memory.mask, nodes.dtype).unsqueeze(1)  # (B, n_heads, N)
        score = torch.matmul(sequence, keys.transpose(1, 2)) + bias.flatten(1).unsqueeze(1)  # (B, K, n_heads * N)
        weight = torch.softmax(torch.unflatten(score, 2, (self.n_heads, -1)), dim=-1).flatten(2)
        return torch.matmul(weight, self._by_head(self.values(nodes))) + self.bias

    def _by_head(self, mapped: Tensor) -> Tensor:
        """(B, N, n_heads * d_model) to (B, n_heads * N, d_model)."""
        return torch.unflatten(mapped, 2, (self.n_heads, -1)).transpose(1, 2).flatten(1, 2)
