"""What an atom is before it has met its neighbours: its atomic number, or what the periodic table says of it."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bandrt.elements import MAX_ATOMIC_NUMBER
from bandrt_train.model.config import ModelConfig, NodeFeatureKind
from bandrt_train.tables import element_properties

N_SPECIES = MAX_ATOMIC_NUMBER + 1
"""Rows of every table by atomic number; row 0 is padding."""
CATEGORIES = {"group": range(19), "period": range(1, 8), "block": "spdf"}
"""Each becomes one column per value; group 0 holds the lanthanides and actinides."""
QUANTITIES = ("valence_electrons", "covalent_radius", "electronegativity", "ionization_energy", "electron_affinity")
"""Each becomes a column of mean 0 and variance 1 over the elements, and one that is 1 where the value is unknown."""


def valence_electrons() -> NDArray[np.float32]:
    """Electrons of each element outside its noble-gas core and filled inner shells, (119,), by atomic number; 0 for padding."""
    return np.array([0.0, *(float(row["valence_electrons"]) for row in element_properties())], dtype=np.float32)


@cache
def element_table() -> NDArray[np.float32]:
    """Properties of the elements, (119, n_properties), by atomic number; unknown quantities hold the mean, 0, and a flag."""
    rows = element_properties()
    columns = [
        np.array([float(row[name] == str(value)) for row in rows]) for name, values in CATEGORIES.items() for value in values
    ]
    for name in QUANTITIES:
        known = np.array([float(row[name]) if row[name] else np.nan for row in rows])
        missing = np.isnan(known)
        standard = (known - np.nanmean(known)) / np.nanstd(known)
        columns += [np.where(missing, 0.0, standard), missing.astype(float)]
    table = np.zeros((N_SPECIES, len(columns)), dtype=np.float32)
    table[1:] = np.array(columns).T
    return table


class OneHot(nn.Module):
    """A learned vector per element: one-hot encoding times a weight matrix, looked up."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(N_SPECIES, config.d_model)

    def forward(self, atomic_numbers: Tensor) -> Tensor:
        """(...) integers to (..., d_model)."""
        vectors: Tensor = self.embedding(atomic_numbers)
        return vectors


class Elemental(nn.Module):
    """A linear map of the element's properties; elements never seen in training still mean something."""

    table: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.register_buffer("table", torch.from_numpy(element_table()))
        self.linear = nn.Linear(self.table.shape[1], config.d_model)

    def forward(self, atomic_numbers: Tensor) -> Tensor:
        """(...) integers to (..., d_model)."""
        vectors: Tensor = self.linear(nn.functional.embedding(atomic_numbers, self.table))
        return vectors


class ElementalOneHot(Elemental):
    """What the periodic table says of an element, and a learned vector of its own that starts at zero: for large data sets."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(N_SPECIES, config.d_model)
        nn.init.zeros_(self.embedding.weight)

    def forward(self, atomic_numbers: Tensor) -> Tensor:
        """(...) integers to (..., d_model)."""
        own: Tensor = self.embedding(atomic_numbers)
        return super().forward(atomic_numbers) + own


NODE_FEATURES: dict[NodeFeatureKind, type[OneHot] | type[Elemental]] = {
    "one_hot": OneHot,
    "elemental": Elemental,
    "elemental_one_hot": ElementalOneHot,
}
