"""The released model written out in NumPy, one atom and one edge at a time: an oracle that shares no code with the project."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def bands(
    state: Mapping[str, Array],
    species: Array,
    edge_index: Array,
    edge_length: Array,
    kpoints: Array,
    *,
    encoder_heads: int,
    decoder_heads: int,
) -> Array:
    """Bands of one crystal, (n_bands, K).

    Args:
        state: parameters by their names in the released code.
        species: (n_atoms,) rows of the species table.
        edge_index: (2, n_edges), the atom that speaks above the atom that listens.
        edge_length: (n_edges,) Å.
        kpoints: (K, 3).
        encoder_heads: attention heads between atoms.
        decoder_heads: attention heads of the decoder.
    """
    weights = {name: np.asarray(value, dtype=np.float64) for name, value in state.items()}
    atoms = _encode(weights, species, edge_index, edge_length, encoder_heads)
    phase = kpoints[:, :, None] * weights["decoder.kpe.omega"] * 2 * math.pi  # (K, 3, dim)
    waves = np.concatenate([np.cos(phase), np.sin(phase)], axis=-1).reshape(len(kpoints), -1)
    modes = np.fft.rfft(waves, axis=0, norm="ortho")
    sequence = _linear(weights, "decoder.k_proj", np.concatenate([modes.real, modes.imag], axis=1)) + weights["decoder.pe.pe"][0]
    for n in range(_count(weights, "decoder")):
        layer = f"decoder.layers.{n}."
        normed = _normalize(weights, layer + "norm1", sequence)
        sequence = sequence + _attend(weights, layer + "self_attn", normed, normed, decoder_heads)
        normed = _normalize(weights, layer + "norm2", sequence)
        sequence = sequence + _attend(weights, layer + "multihead_attn", normed, atoms, decoder_heads)
        inner = np.maximum(_linear(weights, layer + "linear1", _normalize(weights, layer + "norm3", sequence)), 0.0)
        sequence = sequence + _linear(weights, layer + "linear2", inner)
    sequence = _normalize(weights, "decoder.norm", sequence)
    spectrum = _head(weights, "mlp1", sequence) + 1j * _head(weights, "mlp2", sequence)
    spectrum[0].imag = 0.0
    return np.fft.irfft(spectrum, n=len(kpoints), axis=0, norm="forward").T


def _encode(weights: Mapping[str, Array], species: Array, edge_index: Array, edge_length: Array, n_heads: int) -> Array:
    table = weights["encoder.atom_embed.lut.weight"]
    nodes = table[species] * math.sqrt(table.shape[1])
    gaussians = np.exp(-(((edge_length[:, None] - 0.2 * np.arange(41)) / 0.2) ** 2)) / 1.12
    features = _linear(weights, "encoder.edge_embed", gaussians)
    incoming: list[list[tuple[int, Array]]] = [[] for _ in species]
    for (source, target), feature in zip(edge_index.T, features, strict=True):
        if source != target:
            incoming[target].append((int(source), feature))
    for target, edges in enumerate(incoming):
        edges.append((target, np.mean([f for _, f in edges], axis=0) if edges else np.zeros(features.shape[1])))
    for n in range(_count(weights, "encoder")):
        conv = f"encoder.layers.{n}.conv."
        said, heard = _linear(weights, conv + "lin_l", nodes), _linear(weights, conv + "lin_r", nodes)
        updated = nodes @ weights[conv + "res.weight"].T + weights[conv + "bias"]
        for target, edges in enumerate(incoming):
            for head, columns in enumerate(np.split(np.arange(nodes.shape[1]), n_heads)):
                score = []
                for source, feature in edges:
                    mixed = said[source] + heard[target] + weights[conv + "lin_edge.weight"] @ feature
                    score.append(np.where(mixed > 0, mixed, 0.2 * mixed)[columns] @ weights[conv + "att"][0, head])
                shares = _softmax(np.array(score))
                updated[target, columns] += sum(s * said[j, columns] for s, (j, _) in zip(shares, edges, strict=True))
        nodes = _normalize(weights, f"encoder.layers.{n}.norm", updated)
    norm = "encoder.norm."
    deviation = (nodes - weights[norm + "running_mean"]) / np.sqrt(weights[norm + "running_var"] + 1e-5)
    return deviation * weights[norm + "weight"] + weights[norm + "bias"]


def _attend(weights: Mapping[str, Array], name: str, queries: Array, memory: Array, n_heads: int) -> Array:
    matrices = np.split(weights[f"{name}.in_proj_weight"], 3)
    biases = np.split(weights[f"{name}.in_proj_bias"], 3)
    q, k, v = (x @ w.T + b for x, w, b in zip((queries, memory, memory), matrices, biases, strict=True))
    joined = np.empty_like(q)
    for columns in np.split(np.arange(q.shape[1]), n_heads):
        score = q[:, columns] @ k[:, columns].T / math.sqrt(len(columns))
        joined[:, columns] = _softmax(score) @ v[:, columns]
    return _linear(weights, f"{name}.out_proj", joined)


def _head(weights: Mapping[str, Array], name: str, sequence: Array) -> Array:
    hidden = _linear(weights, f"{name}.fc1", sequence)
    gelu = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
    return _linear(weights, f"{name}.fc2", gelu).astype(np.complex128)


def _linear(weights: Mapping[str, Array], name: str, x: Array) -> Array:
    mapped: Array = x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    return mapped


def _normalize(weights: Mapping[str, Array], name: str, x: Array) -> Array:
    deviation = x - x.mean(axis=1, keepdims=True)
    standard = deviation / np.sqrt((deviation**2).mean(axis=1, keepdims=True) + 1e-5)
    normalized: Array = standard * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    return normalized


def _softmax(score: Array) -> Array:
    weight = np.exp(score - score.max(axis=-1, keepdims=True))
    shares: Array = weight / weight.sum(axis=-1, keepdims=True)
    return shares


def _count(weights: Mapping[str, Array], stack: str) -> int:
    return 1 + max(int(name.split(".")[2]) for name in weights if name.startswith(f"{stack}.layers."))
