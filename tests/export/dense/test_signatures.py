"""Dense models take and give what the graph contract says: torch reads the names from their signatures."""

from __future__ import annotations

import inspect
import re

import pytest

from bandrt.contract import BAND_ENERGIES, GRAPH_INPUTS, OUTPUT_NAMES, REQUIRED_INPUTS, TENSORS
from bandrt.manifest import Variant
from bandrt_export.dense.bandformer import DENSE
from bandrt_export.dense.ensemble import DenseEnsemble


def parameters(kind: type) -> dict[str, inspect.Parameter]:
    """What `forward` takes."""
    return {name: one for name, one in inspect.signature(kind.forward).parameters.items() if name != "self"}


@pytest.mark.parametrize("variant", DENSE)
def test_a_dense_model_takes_the_inputs_of_the_contract_in_its_order(variant: Variant) -> None:
    kind = DENSE[variant]
    assert tuple(parameters(kind)) == kind.inputs
    assert kind.inputs in (REQUIRED_INPUTS, GRAPH_INPUTS)


@pytest.mark.parametrize("variant", DENSE)
def test_what_a_dense_model_says_of_its_inputs_is_what_the_contract_says(variant: Variant) -> None:
    said = re.findall(r"^ +(\w+): (\(B.*?\)) (\w+)", inspect.getdoc(DENSE[variant].forward) or "", re.MULTILINE)
    assert said
    assert said == [(name, TENSORS[name].written(), TENSORS[name].dtype) for name, *_ in said]


@pytest.mark.parametrize("variant", DENSE)
def test_a_dense_model_gives_outputs_of_the_contract_energies_first(variant: Variant) -> None:
    outputs = DENSE[variant].outputs
    assert outputs[0] == BAND_ENERGIES
    assert outputs == OUTPUT_NAMES[: len(outputs)]
    result = inspect.signature(DENSE[variant].forward).return_annotation
    assert result in ("DenseBands", "DenseBandEnergies")


def test_an_ensemble_takes_what_any_of_its_members_may_take() -> None:
    taken = parameters(DenseEnsemble)
    assert tuple(taken) == GRAPH_INPUTS
    assert {name for name, one in taken.items() if one.default is None} == {name for name in GRAPH_INPUTS if TENSORS[name].optional}
