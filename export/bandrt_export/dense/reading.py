"""The reading of closed loops, rearranged: the sums of `bandrt_train.model.loops.LoopReading`, with fewer terms.

What comes after the last activation is linear, so two linear maps in a row become one, and atoms are pooled before a map, not
after: it is then applied once for each k-point and not for each atom at each.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bandrt_export.dense.masking import masked_bias
from bandrt_train.model.loops import LoopFeatures, LoopReading


class PooledReading(nn.Module):
    """A trained `LoopReading`, to be run and not to be trained."""

    @torch.no_grad()
    def __init__(self, reading: LoopReading) -> None:
        super().__init__()
        self.n_heads = reading.n_heads
        self.loops = linear(reading.loops.weight)
        self.atom = linear(reading.atom.weight, reading.atom.bias + reading.loops.bias)
        *hidden, last = reading.mix
        assert isinstance(last, nn.Linear)
        self.mix = nn.Sequential(*(layer for layer in hidden if not isinstance(layer, nn.Dropout)))
        self.score = linear(product(reading.score, last).weight)  # a bias moves all atoms alike: no softmax sees it
        self.value = HeadValues(product(reading.value, last), reading.n_heads)
        self.bands = LoopBands(reading)

    def forward(self, nodes: Tensor, loops: Tensor, mask: Tensor, loop_weight: Tensor | None = None) -> LoopFeatures:
        """Pool over atoms.

        Args:
            nodes: (B, N, d_model) encoded atoms.
            loops: (B, N, 2 * n_hoppings, K).
            mask: (B, N) bool, which are atoms.
            loop_weight: (B, n_bands, N, 2 * n_hoppings), as in `LoopReading.forward`.
        """
        by_kpoint = loops.permute(0, 3, 1, 2)  # (B, K, N, 2 * n_hoppings)
        mixed = self.mix(self.loops(by_kpoint) + self.atom(nodes).unsqueeze(1))  # (B, K, N, d_model)
        bias = masked_bias(mask, nodes.dtype)[:, None, None, :].expand(-1, -1, self.n_heads, -1)  # whole rows are added faster
        score = self.score(mixed).transpose(2, 3) + bias  # (B, K, n_heads, N)
        pooled = torch.matmul(torch.softmax(score, dim=-1), mixed)  # (B, K, n_heads, d_model)
        return LoopFeatures(self.value(pooled), self.bands(nodes, loops, mask, loop_weight))


class HeadValues(nn.Module):
    """Each head's rows of a linear map, applied to what that head has pooled."""

    weight: Tensor
    bias: Tensor

    def __init__(self, value: nn.Linear, n_heads: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.unflatten(value.weight, 0, (n_heads, -1)).transpose(1, 2).contiguous())
        self.register_buffer("bias", value.bias.clone())

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, K, n_heads, d_model) to (B, K, d_model)."""
        by_head = torch.matmul(pooled.transpose(1, 2), self.weight)  # (B, n_heads, K, d_head)
        return by_head.transpose(1, 2).flatten(2) + self.bias


class LoopBands(nn.Module):
    """What the bands take directly: the mean over atoms of gated loops, one product for each crystal."""

    def __init__(self, reading: LoopReading) -> None:
        super().__init__()
        self.gate, self.bands = reading.gate, reading.bands

    def forward(self, nodes: Tensor, loops: Tensor, mask: Tensor, loop_weight: Tensor | None) -> Tensor:
        """As in `PooledReading.forward`, to (B, K, n_bands)."""
        present = mask.to(nodes.dtype)  # (B, N)
        share = present / present.sum(dim=1, keepdim=True).clamp(min=1.0)
        gate = self.gate(nodes) * share.unsqueeze(2)  # (B, N, 2 * n_hoppings)
        weight = gate.unsqueeze(1) * self.bands.weight.unsqueeze(1)  # (B, n_bands, N, 2 * n_hoppings)
        if loop_weight is not None:
            weight = weight + loop_weight
        return torch.matmul(weight.flatten(2), loops.flatten(1, 2)).transpose(1, 2)


def product(outer: nn.Linear, inner: nn.Linear) -> nn.Linear:
    """The linear map that is `outer` after `inner`."""
    weight, bias = outer.weight.double(), outer.bias.double()
    return linear(weight @ inner.weight.double(), weight @ inner.bias.double() + bias)


def linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """A linear map of given parameters."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight.copy_(weight)
    if bias is not None:
        layer.bias.copy_(bias)
    return layer
