"""Softmax over padded slots, in operations and values that every backend and precision takes."""

from __future__ import annotations

import torch
from torch import Tensor

MASKED_SCORE = -1e4
"""Attention score of what must not be seen: its softmax weight is exactly zero beside any real score, and fp16 holds it."""


def masked_softmax(score: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last axis where `mask` holds, exactly zero elsewhere, all zero where it holds nowhere."""
    weight = torch.softmax(torch.where(mask, score, MASKED_SCORE), dim=-1)
    return weight * mask.to(weight.dtype)


def masked_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What to add to attention scores: nothing where `mask` holds, `MASKED_SCORE` elsewhere."""
    return (1.0 - mask.to(dtype)) * MASKED_SCORE
