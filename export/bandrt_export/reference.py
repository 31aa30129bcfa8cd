"""What an engine is compared with: the model of a checkpoint, or another engine, on batches of features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from bandrt.batch import pad
from bandrt.contract import BAND_ENERGIES, UNCERTAINTY
from bandrt.engine.session import Session
from bandrt.errors import InputError
from bandrt.features import Features
from bandrt.hamiltonian import filling
from bandrt.hamiltonian.filling import Filled, kept_for, n_filled
from bandrt.manifest import ZERO_GAP_EV, BandRule
from bandrt.recipe import MeshRecipe
from bandrt_train.model.ensemble import Model
from bandrt_train.model.graphs import to_batch
from bandrt_train.model.hamiltonian.ensemble import HamiltonianModel, LearnedHamiltonianEnsemble
from bandrt_train.model.hamiltonian.model import LearnedHamiltonian, bands
from bandrt_train.model.hamiltonian.pairs import find_pairs

Arrays = dict[str, NDArray[Any]]
"""By the names of the graph contract."""
PYTORCH, PYTORCH_BANDS = "PyTorch Geometric, fp32, CPU", "PyTorch, fp32, eigenvalues on the CPU"
"""What reports call the references."""
UNDECIDED_EV = 1e-4
"""eV of rounding in eigenvalues, by which a verdict may turn: metal or not, and whether a band is empty."""


class Reference(Protocol):
    """Anything that says what an engine should."""

    def outputs(self, batch: Sequence[Features], found: Mapping[str, NDArray[Any]]) -> Arrays:
        """What a batch should give.

        Args:
            batch: the crystals.
            found: what an engine gave: where rounding decides, either verdict is right, and the one that it took is given back.
        """


def reference_of(model: Model | HamiltonianModel | Session, rule: BandRule, mesh: MeshRecipe | None) -> Reference:
    """The reference that a model in evaluation mode, or another session, is.

    Args:
        model: what to compare with.
        rule: which bands of a learned Hamiltonian.
        mesh: on which the engine fills them.
    """
    if isinstance(model, LearnedHamiltonian | LearnedHamiltonianEnsemble):
        return _FilledBands(model, rule, mesh or MeshRecipe())
    return _OfModel(model) if isinstance(model, torch.nn.Module) else _OfSession(model)


class _OfSession:
    def __init__(self, session: Session) -> None:
        self._session = session

    def outputs(self, batch: Sequence[Features], found: Mapping[str, NDArray[Any]]) -> Arrays:
        return self._session.run(pad(batch))


class _OfModel:
    def __init__(self, model: Model) -> None:
        self._model = model

    @torch.inference_mode()
    def outputs(self, batch: Sequence[Features], found: Mapping[str, NDArray[Any]]) -> Arrays:
        output = self._model(to_batch(batch))
        named = {
            BAND_ENERGIES: output.energies,
            "band_center": output.center,
            "band_dispersion": output.dispersion,
            UNCERTAINTY: output.uncertainty,
        }
        return {name: tensor.numpy() for name, tensor in named.items() if tensor is not None}


class _FilledBands:
    """A learned Hamiltonian, with pairs and eigenvalues of the training package; what it says of a crystal is kept."""

    def __init__(self, model: HamiltonianModel, rule: BandRule, mesh: MeshRecipe) -> None:
        self._model = model
        self._rule = rule
        self._smearing_ev = mesh.smearing
        self._said: dict[int, tuple[list[NDArray[Any]], float | None]] = {}

    def outputs(self, batch: Sequence[Features], found: Mapping[str, NDArray[Any]]) -> Arrays:
        energies, doubts = [], []
        for one, beside in zip(batch, found[BAND_ENERGIES], strict=True):
            if id(one) not in self._said:
                self._said[id(one)] = self._say(one)
            windows, doubt = self._said[id(one)]
            energies.append(min(windows, key=partial(_distance, beside)))
            doubts.append(doubt)
        outputs = {BAND_ENERGIES: np.stack(energies)}
        return outputs if None in doubts else outputs | {UNCERTAINTY: np.array(doubts)}

    @torch.no_grad()
    def _say(self, one: Features) -> tuple[list[NDArray[Any]], float | None]:
        """Windows of a crystal that may be right, the first without doubt where it is alone, and the error to expect."""
        pairs = find_pairs(one.crystal)
        [solid] = self._model.real_space([pairs])
        path, points, weights = one.kpoints, one.mesh_kpoints, one.mesh_weights
        energies = bands(solid, torch.from_numpy(np.concatenate([path, points]))).double().numpy()
        doubt = None if solid.uncertainty is None else float(solid.uncertainty)
        of_path, of_mesh = energies[: len(path)], energies[len(path) :]
        try:
            windows = list(self._windows(of_path, of_mesh, weights, pairs.electrons))
        except InputError:  # electrons do not fill its bands in part
            windows = [np.full((self._rule.n_bands, len(path)), np.nan)]
        return windows, doubt

    def _windows(
        self, path: NDArray[Any], on_mesh: NDArray[Any], weights: NDArray[Any], electrons: float
    ) -> Iterator[NDArray[np.float64]]:
        half, kept = n_filled(electrons), kept_for(self._rule)
        verdicts: dict[bool, Filled] = {}
        for shift in (0.0, UNDECIDED_EV, -UNDECIDED_EV):
            apart = np.where(np.arange(path.shape[1]) >= half, shift, 0.0)
            filled = filling.fill(path + apart, on_mesh + apart, weights, electrons, smearing_ev=self._smearing_ev, kept=kept)
            verdicts.setdefault(filled.is_metal, filled)
        for filled in verdicts.values():
            yield filled.given(self._rule)
            lowest = np.nan_to_num(filled.energies[kept:].min(axis=1), nan=np.inf)
            if filled.is_metal:
                least, most = (int((lowest < edge - ZERO_GAP_EV).sum()) for edge in (-UNDECIDED_EV, UNDECIDED_EV))
                for n_above in range(least, most + 1):
                    yield filled.given(self._rule, kept + n_above)


def _distance(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Largest difference, infinite where one of both alone is no number."""
    apart = np.where(np.isnan(one) & np.isnan(other), 0.0, np.abs(one - other))
    return float(np.nan_to_num(apart, nan=np.inf).max())
