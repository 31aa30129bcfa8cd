"""The decoder encodes k-points as Eq. 2-3 say, and attends as the textbook formula does."""

from __future__ import annotations

import cmath
import math

import torch
from torch import Tensor, nn

from bandrt_train.model.config import ModelConfig
from bandrt_train.model.decoder import Attention, KpointEncoding, Memory
from tests.support.small_models import SMALL, perturbed


def textbook(query: Tensor, key: Tensor, value: Tensor, n_heads: int) -> Tensor:
    """Multi-head attention of (L, d) on (S, d), one head and one query at a time."""
    width = query.shape[1] // n_heads
    out = torch.zeros_like(query)
    for head in range(n_heads):
        part = slice(head * width, (head + 1) * width)
        for row in range(len(query)):
            weight = torch.softmax(key[:, part] @ query[row, part] / math.sqrt(width), dim=0)
            out[row, part] = weight @ value[:, part]
    return out


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_kpoints_are_encoded_by_equations_2_and_3() -> None:
    config = ModelConfig(d_model=36)
    dim = 36 // 6
    kpoint = (0.31, -0.5, 1.25)
    [[found]] = KpointEncoding(config)(torch.tensor([[kpoint]]))
    waves = [cmath.exp(2j * math.pi * 10 ** (-n / (dim - 1)) * k) for k in kpoint for n in range(dim)]
    expected = [wave.real for wave in waves] + [wave.imag for wave in waves]
    torch.testing.assert_close(found, torch.tensor(expected), atol=2e-6, rtol=0)


def test_the_lowest_frequency_turns_a_tenth_as_far_as_the_highest() -> None:
    frequency = KpointEncoding(ModelConfig(d_model=192)).angular_frequency
    assert len(frequency) == 32
    torch.testing.assert_close(frequency[[0, -1]], torch.tensor([2 * math.pi, 0.2 * math.pi]))


def test_self_attention_is_the_textbook_formula() -> None:
    attention = perturbed().decoder.layers[0].self_attention
    sequence = random(2, 7, SMALL.d_model)
    with torch.no_grad():
        for found, one in zip(attention(sequence), sequence, strict=True):
            query, key, value = attention.query_key_value(one).chunk(3, dim=-1)
            torch.testing.assert_close(found, attention.out(textbook(query, key, value, SMALL.n_heads)), atol=1e-5, rtol=1e-5)


def test_cross_attention_sees_the_atoms_and_not_the_padding() -> None:
    attention = perturbed().decoder.layers[1].cross_attention
    sequence, nodes = random(2, 7, SMALL.d_model), random(2, 5, SMALL.d_model, seed=1)
    mask = torch.arange(5) < torch.tensor([[5], [2]])
    with torch.no_grad():
        found = attention(sequence, Memory(nodes, mask))
        for row, n_atoms in enumerate((5, 2)):
            query = attention.query(sequence[row])
            key, value = attention.key_value(nodes[row, :n_atoms]).chunk(2, dim=-1)
            expected = attention.out(textbook(query, key, value, SMALL.n_heads))
            torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=1e-5)


def test_layers_start_different() -> None:
    torch.manual_seed(0)
    first, second = perturbed().decoder.layers
    assert not torch.equal(first.self_attention.out.weight, second.self_attention.out.weight)


def test_the_decoder_follows_the_order_of_the_kpoints() -> None:
    decoder = perturbed().decoder
    kpoints, memory = random(1, 9, 3), Memory(random(1, 4, SMALL.d_model), torch.ones(1, 4, dtype=torch.bool))
    order = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(decoder(kpoints[:, order], memory), decoder(kpoints, memory)[:, order], atol=1e-5, rtol=1e-5)


def test_dropout_acts_in_training_only() -> None:
    layer = perturbed().decoder.layers[0]
    assert isinstance(layer.self_attention, Attention)
    assert isinstance(layer.dropout, nn.Dropout)
    sequence, memory = random(1, 9, SMALL.d_model), Memory(random(1, 4, SMALL.d_model), torch.ones(1, 4, dtype=torch.bool))
    with torch.no_grad():
        assert torch.equal(layer(sequence, memory), layer(sequence, memory))
        layer.train()
        assert not torch.equal(layer(sequence, memory), layer(sequence, memory))
