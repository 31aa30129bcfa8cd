"""The encoder does what Eq. 1 says, atom by atom and edge by edge."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from bandrt_train.model.config import ModelConfig
from bandrt_train.model.encoder import EncoderLayer, GaussianExpansion, SparseAttention, SparseEdges
from bandrt_train.model.graphs import to_batch, to_data
from bandrt_train.model.node_features import N_SPECIES, OneHot, element_table
from tests.support.small_models import SMALL, isolated, perturbed, real_features

TOLERANCE = 2e-6
"""fp32 rounding on features of order one."""


def by_hand(attention: SparseAttention, nodes: Tensor, edges: list[tuple[int, int, Tensor]], config: ModelConfig) -> Tensor:
    """Eq. 1 with loops: for each atom and head, the softmax over its neighbours of q.k / sqrt(d_head) + m."""
    messages = torch.zeros_like(nodes)
    for i in range(len(nodes)):
        arriving = [(j, gaussians) for j, target, gaussians in edges if target == i]
        for head in range(config.n_heads):
            rows = slice(head * config.d_head, (head + 1) * config.d_head)
            query = attention.query.weight[rows] @ nodes[i]
            scores = [
                float(query @ (attention.key.weight[rows] @ nodes[j])) / math.sqrt(config.d_head)
                + float(attention.edge_bias.weight[head] @ gaussians)
                for j, gaussians in arriving
            ]
            total = sum(math.exp(score) for score in scores)
            for (j, gaussians), score in zip(arriving, scores, strict=True):
                value = attention.value.weight[rows] @ nodes[j]
                if attention.edge_value is not None:
                    value = value + attention.edge_value.weight[rows] @ gaussians
                messages[i, rows] += math.exp(score) / total * value
    return messages


@pytest.mark.parametrize("edge_values", [False, True])
def test_attention_over_neighbours_is_equation_1(edge_values: bool) -> None:
    config = replace(SMALL, edge_values=edge_values)
    attention = perturbed(config).encoder.layers[0].attention
    graph = to_data(real_features()[9])
    gaussians = GaussianExpansion(config)(graph.edge_length)
    nodes = torch.randn(graph.num_nodes, config.d_model, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = attention(nodes, SparseEdges(graph.edge_index, gaussians))
        edges = [(int(j), int(i), g) for (j, i), g in zip(graph.edge_index.T, gaussians, strict=True)]
        expected = by_hand(attention, nodes, edges, config)
    torch.testing.assert_close(found, expected, atol=10 * TOLERANCE, rtol=TOLERANCE)


def test_a_layer_adds_the_normalised_message_then_the_normalised_feed_forward() -> None:
    layer: EncoderLayer = perturbed().encoder.layers[1]
    graph = to_data(real_features()[5])
    edges = SparseEdges(graph.edge_index, GaussianExpansion(SMALL)(graph.edge_length))
    nodes = torch.randn(graph.num_nodes, SMALL.d_model, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        between = nodes + layer.attention_norm(layer.attention(nodes, edges))
        expected = between + layer.feed_forward_norm(layer.feed_forward(between))
        torch.testing.assert_close(layer(nodes, edges), expected)


def test_projections_have_no_bias() -> None:
    attention = SparseAttention(replace(SMALL, edge_values=True))
    assert all(name.endswith("weight") for name, _ in attention.named_parameters())


def test_distances_become_gaussians_as_wide_as_they_are_apart() -> None:
    expand = GaussianExpansion(ModelConfig(n_gaussians=41, max_distance=8.0))
    found = expand(torch.tensor([0.0, 0.2, 3.1]))
    centers = 0.2 * np.arange(41)
    for row, distance in zip(found, (0.0, 0.2, 3.1), strict=True):
        np.testing.assert_allclose(row, np.exp(-(((distance - centers) / 0.2) ** 2)), atol=TOLERANCE)


def test_an_atom_without_neighbours_receives_nothing_and_stays_finite() -> None:
    model = perturbed()
    graph = to_data(isolated(real_features()[0]))
    edges = SparseEdges(graph.edge_index, model.expansion(graph.edge_length))
    nodes = model.node_features(graph.atomic_numbers)
    assert graph.edge_index.shape == (2, 0)
    with torch.no_grad():
        assert torch.equal(model.encoder.layers[0].attention(nodes, edges), torch.zeros_like(nodes))
        assert torch.isfinite(model(to_batch([isolated(real_features()[0])])).energies).all()


def test_one_hot_features_are_a_weight_matrix_times_the_one_hot_vector() -> None:
    features = OneHot(SMALL)
    numbers = torch.tensor([1, 14, 92])
    vectors = torch.nn.functional.one_hot(numbers, N_SPECIES).float() @ features.embedding.weight
    torch.testing.assert_close(features(numbers), vectors)


def test_the_element_table_is_standardised_complete_and_tells_elements_apart() -> None:
    table = element_table()
    assert table.shape[0] == N_SPECIES
    assert np.isfinite(table).all()
    assert len(np.unique(table[1:104], axis=0)) == 103
    quantities, missing = table[1:, -10::2], table[1:, -9::2]
    np.testing.assert_allclose(quantities.mean(axis=0), 0.0, atol=1e-6)
    assert set(np.unique(missing)) == {0.0, 1.0}
    assert (quantities[missing == 1.0] == 0.0).all()
    silicon, germanium, oxygen = table[14], table[32], table[8]
    assert np.linalg.norm(silicon - germanium) < np.linalg.norm(silicon - oxygen)


def test_elemental_features_start_from_the_table() -> None:
    config = replace(SMALL, node_features="elemental")
    features = perturbed(config).node_features
    expected = torch.from_numpy(element_table()[[8, 22]]) @ features.linear.weight.T + features.linear.bias
    torch.testing.assert_close(features(torch.tensor([8, 22])), expected)
