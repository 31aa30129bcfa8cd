"""The dense ensemble: dense members side by side on the same inputs, and the error to expect of their mean.

Members share nothing but the inputs. What they compute alike of these (expanded distances, waves) a backend computes once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bandrt.contract import UNCERTAINTY
from bandrt.manifest import Variant
from bandrt_export.dense.bandformer import DENSE, Dense, DenseBandformer
from bandrt_export.dense.hamiltonian import DenseHamiltonian
from bandrt_export.dense.released import DenseReleased
from bandrt_train.model.bandformer import Bandformer
from bandrt_train.model.ensemble import Ensemble, Model, expected_error
from bandrt_train.model.hamiltonian.ensemble import HamiltonianModel, LearnedHamiltonianEnsemble
from bandrt_train.model.hamiltonian.model import LearnedHamiltonian
from bandrt_train.model.released.model import ReleasedBandformer


class DenseEnsemble(nn.Module):
    """An ensemble with the inputs of its members, and their outputs and one more; see `bandrt_export.dense.bandformer.Dense`."""

    def __init__(self, model: Ensemble) -> None:
        super().__init__()
        self.config, self.rule = model.config, model.rule
        members = [_twin(member) for member in model.members]
        kind = type(members[0])
        self.members = nn.ModuleList(members)
        self.inputs = kind.inputs
        self.outputs = (*kind.outputs, UNCERTAINTY)
        self.parity_limit_ev = kind.parity_limit_ev
        self.full_precision = frozenset(f"members.{i}.{name}" for i in range(len(members)) for name in kind.full_precision)

    def forward(
        self,
        atomic_numbers: Tensor,
        neighbor_index: Tensor,
        neighbor_distance: Tensor,
        neighbor_mask: Tensor,
        atom_mask: Tensor,
        kpoints: Tensor,
        neighbor_image: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Predict the bands of a padded batch; see the members.

        Returns:
            The members' outputs, averaged, ``band_energies`` first, and ``uncertainty_ev`` (B,).
        """
        given = (atomic_numbers, neighbor_index, neighbor_distance, neighbor_mask, atom_mask, kpoints, neighbor_image)
        inputs = given[: len(self.inputs)]
        outputs = [torch.stack(parts) for parts in zip(*(member(*inputs) for member in self.members), strict=True)]
        return (*(output.mean(dim=0) for output in outputs), expected_error(outputs[0], self.rule))


AnyDense = Dense | DenseEnsemble | DenseHamiltonian


def dense_of(model: Model | HamiltonianModel) -> AnyDense:
    """The dense twin of a reference model."""
    if isinstance(model, LearnedHamiltonian | LearnedHamiltonianEnsemble):
        return DenseHamiltonian(model).eval()
    if isinstance(model, Ensemble):
        return DenseEnsemble(model).eval()
    return _twin(model)


def parity_limit_ev(variant: Variant) -> float:
    """How many eV fp32 rounding may cost a variant."""
    return (DenseHamiltonian if variant == "hamiltonian" else DENSE[variant]).parity_limit_ev


def _twin(model: nn.Module) -> Dense:
    if isinstance(model, ReleasedBandformer):
        return DenseReleased.from_reference(model)
    assert isinstance(model, Bandformer)
    kind = DENSE[model.config.variant]
    assert issubclass(kind, DenseBandformer)
    return kind.from_reference(model)
