"""The line for trtexec names every input of the graph, with shapes that TensorRT-RTX's parser and builder accept."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from click.testing import CliRunner

from bandrt.contract import INPUT_NAMES
from bandrt.engine import SHIPPED_ENGINES
from bandrt.engine.cuda_driver import NoDriver
from bandrt.manifest import BandRule
from bandrt_export.cli.export import command
from bandrt_export.errors import ExportError
from bandrt_export.plan.builder import PlanBuilder
from bandrt_export.plan.profiles import MOST_BONDS, USUAL_BONDS
from bandrt_export.plan.trtexec import shapes_of, trtexec
from tests.support.given_hamiltonians import manifest_of

Shapes = dict[str, dict[str, tuple[int, ...]]]


def read(line: str) -> tuple[dict[str, str], Shapes]:
    """Options of a line, and shapes by limit and input, as trtexec reads them."""
    program, *words = shlex.split(line)
    assert program == "trtexec"
    options = dict(word.removeprefix("--").partition("=")[::2] for word in words)
    shapes: Shapes = {}
    for limit in ("min", "opt", "max"):
        given = [one.rpartition(":") for one in options.pop(f"{limit}Shapes").split(",")]
        shapes[limit] = {name: tuple(map(int, axes.split("x"))) for name, _, axes in given}
    return options, shapes


def assert_names_every_input(shapes: Shapes, model: Path) -> None:
    inputs = {one.name: [dim.dim_value or None for dim in one.type.tensor_type.shape.dim] for one in onnx.load(model).graph.input}
    for named in shapes.values():
        assert set(named) == set(inputs)
    for name, axes in inputs.items():
        least, often, most = (shapes[limit][name] for limit in ("min", "opt", "max"))
        assert len(least) == len(often) == len(most) == len(axes)
        for fixed, low, usual, high in zip(axes, least, often, most, strict=True):
            assert low <= usual <= high
            if fixed is not None:
                assert low == high == fixed


def build(model: Path, shapes: Shapes) -> Any:
    """What TensorRT-RTX builds with one profile of these shapes."""
    builder = PlanBuilder("tensorrt-rtx", NoDriver("there is none"))
    trt, network = builder.trt, builder.parse(model)
    config, profile = builder.builder.create_builder_config(), builder.builder.create_optimization_profile()
    for index in range(network.num_inputs):
        name = network.get_input(index).name
        profile.set_shape(name, *(shapes[limit][name] for limit in ("min", "opt", "max")))
    assert config.add_optimization_profile(profile) == 0
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    return builder.builder.build_serialized_network(network, config)


def test_the_builder_accepts_the_shapes_of_the_line(exported: Any) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed: pip install 'bandrt[tensorrt-rtx]'")
    options, shapes = read(trtexec(exported.engine, max_atoms=8, max_batch=4))
    assert set(options) == {"onnx", "saveEngine", "stronglyTyped", "noTF32", "skipInference"}
    assert (options["onnx"], options["saveEngine"]) == (str(exported.engine), f"{exported.engine.stem}.plan")
    assert_names_every_input(shapes, exported.engine)
    assert shapes["max"]["atomic_numbers"] == (4, 8)
    assert shapes["min"]["atomic_numbers"] == (1, 1)
    assert build(exported.engine, shapes) is not None
    wrong = {limit: {name: axes for name, axes in named.items() if name != "kpoints"} for limit, named in shapes.items()}
    with pytest.raises(KeyError):
        build(exported.engine, wrong)


def test_the_shipped_engine_has_a_line_by_its_name() -> None:
    result = CliRunner().invoke(command, ["fast", "--trtexec", "--max-atoms", "20"], catch_exceptions=False)
    options, shapes = read(result.stdout.strip())
    assert options["onnx"] == str(SHIPPED_ENGINES["fast"])
    assert_names_every_input(shapes, SHIPPED_ENGINES["fast"])
    assert shapes["max"]["atomic_numbers"] == (2048 // 20, 20)


def test_a_solver_in_the_graph_may_be_told_no_centre_of_inversion() -> None:
    manifest = replace(manifest_of(32, BandRule(n_bands=2, n_valence=1)), inputs=INPUT_NAMES)
    shapes = shapes_of(manifest, max_atoms=4, max_batch=3)
    assert tuple(shapes) == INPUT_NAMES
    assert shapes["inversion_image"] == ((0, 1, 3), (3, 4, 3), (3, 4, 3))
    assert shapes["neighbor_image"] == ((1, 1, 1, 3), (3, 4, USUAL_BONDS, 3), (3, 4, MOST_BONDS, 3))
    assert shapes["kpoints"][0][1] == shapes["kpoints"][2][1] == 32


def test_an_engine_that_only_this_runtime_solves_has_none() -> None:
    with pytest.raises(ExportError, match="--solver graph") as caught:
        trtexec(SHIPPED_ENGINES["accurate"])
    assert caught.value.code == "plan-solver"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--trtexec", "-o", "m.plan"], "or --trtexec"), (["--trtexec", "--triton", "models"], "or --trtexec"),
     (["--trtexec", "--precision", "fp16"], "--trtexec is of an engine as it is")],
    ids=" ".join,
)  # fmt: skip
def test_options_that_do_not_go_with_it_are_wrong_usage(exported: Any, arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(command, [str(exported.engine), *arguments])
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_checkpoint_has_to_be_exported_first(exported: Any) -> None:
    result = CliRunner().invoke(command, [str(exported.checkpoint), "--trtexec"])
    assert result.exit_code == 2
    assert "give the ONNX engine" in result.stderr
