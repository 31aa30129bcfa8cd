"""Ensembles: several trained models of one configuration as one model that knows how far it can be trusted.

Bands are averaged as the members number them. They are trained on bands numbered by energy, so theirs cross in a few per cent of
places and by little; averaging after sorting gives the same errors.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from bandrt.manifest import EnsembleRule
from bandrt_train.model.bandformer import Reference
from bandrt_train.model.output import BandOutput
from bandrt_train.model.variants import Config


class Ensemble(nn.Module):
    """Members that share nothing but their input, and their configuration."""

    def __init__(self, members: Sequence[Reference], rule: EnsembleRule) -> None:
        super().__init__()
        self.config: Config = members[0].config
        self.rule = rule
        self.members = nn.ModuleList(members)

    def forward(self, data: Data) -> BandOutput:
        """Predict the bands of a PyG batch, and the error to expect."""
        outputs: list[BandOutput] = [member(data) for member in self.members]
        energies = torch.stack([output.energies for output in outputs])
        return BandOutput(
            center=torch.stack([output.center for output in outputs]).mean(dim=0),
            dispersion=torch.stack([output.dispersion for output in outputs]).mean(dim=0),
            energies=energies.mean(dim=0),
            uncertainty=expected_error(energies, self.rule),
        )


Model = Reference | Ensemble
"""What a checkpoint holds: one model, or several in one."""


def disagreement(energies: Tensor) -> Tensor:
    """How far members are from their mean: energies (n_members, B, n_bands, K) to (B,), eV."""
    return (energies - energies.mean(dim=0)).abs().mean(dim=(0, 2, 3))


def expected_error(energies: Tensor, rule: EnsembleRule) -> Tensor:
    """The error to expect of the mean of members' energies, (n_members, B, n_bands, K), for each crystal, (B,) eV."""
    return rule.floor_ev + rule.slope * disagreement(energies)
