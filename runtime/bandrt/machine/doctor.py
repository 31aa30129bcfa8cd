"""What this installation can do on this machine, and the command that adds what it cannot."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from bandrt import __version__
from bandrt.engine.cuda_driver import Driver, NoDriver
from bandrt.engine.cuda_wheels import cuda_of, too_old
from bandrt.engine.onnx.library import load_onnxruntime
from bandrt.engine.onnx.providers import PROVIDERS
from bandrt.engine.plan.file import RTX_TARGETS, WITHOUT_RTX
from bandrt.engine.plan.tensorrt import PIP_NAMES, PlanBackend
from bandrt.machine.versions import package_versions

PACKAGES = (
    "numpy",
    "gemmi",
    "moyopy",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-ep-nv-tensorrt-rtx-cu13",
    "cuda-core",
    "cuda-bindings",
    "tensorrt",
    "tensorrt-rtx-cu13",
    "torch",
    "torch_geometric",
    "lightning",
    "onnx",
    "onnxscript",
    "pymatgen",
    "ase",
    "matplotlib",
    "plotly",
    "h5py",
    "pyarrow",
    "backports.zstd",
    "mp-api",
    "tensorboardX",
    "ray",
)
"""What is looked for, the core first, by the names that pip knows."""
TRAIN = ("torch", "torch_geometric", "lightning", "pymatgen")
EXPORT = (*TRAIN, "onnx", "onnxscript", "onnxruntime")
CUDA_PACKAGES = ("onnxruntime-gpu", "onnxruntime-ep-nv-tensorrt-rtx-cu13", "tensorrt", "tensorrt-rtx-cu13", "cuda-bindings")
"""Those that are built for one CUDA."""
CUDA_PROVIDER, TENSORRT_PROVIDER = PROVIDERS["cuda"].name, PROVIDERS["tensorrt"].name
PROVIDED_TENSORRT = 10
"""The TensorRT that onnxruntime-gpu, up to 1.31 at least, is built for."""
PLAN_NAMES: dict[PlanBackend, str] = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX"}


@dataclass(frozen=True)
class Ability:
    """Something that works here, or does not."""

    name: str
    available: bool
    detail: str
    """What makes it work, or what is missing."""
    remedy: str | None = None
    """The command that installs what is missing, if one can."""


@dataclass(frozen=True)
class Diagnosis:
    """The state of an installation."""

    bandrt: str
    python: str
    platform: str
    packages: dict[str, str | None]
    """Versions; None: not installed."""
    driver: Driver | NoDriver
    abilities: tuple[Ability, ...]


def examine(
    driver: Driver | NoDriver, packages: Mapping[str, str | None], providers: Sequence[str], wheels: Mapping[str, int | None]
) -> Diagnosis:
    """Draw conclusions from what was found.

    Args:
        driver: the NVIDIA driver, or why there is none.
        packages: versions by the names in `PACKAGES`.
        providers: what ONNX Runtime can run on; nothing when it is missing or broken.
        wheels: the CUDA of those in `CUDA_PACKAGES` that are installed.
    """
    abilities = (
        _onnx_on_cpu(packages, providers),
        _onnx_on_gpu(driver, packages, providers, wheels),
        _onnx_by_tensorrt(driver, packages, providers, wheels),
        _onnx_by_tensorrt_rtx(driver, packages, wheels),
        _plans_on_gpu("tensorrt", driver, packages, wheels),
        _plans_on_gpu("tensorrt-rtx", driver, packages, wheels),
        _by_packages("build TensorRT-RTX plans", ("tensorrt-rtx-cu13", "onnx"), "export,tensorrt-rtx", packages),
        _tensorrt_builds(driver, packages, wheels),
        _by_packages("export engines", EXPORT, "export", packages),
        _by_packages("train models", TRAIN, "train", packages),
        _by_packages("download from the Materials Project", ("mp-api", *TRAIN), "mp", packages),
        _by_packages("write logs for TensorBoard", ("tensorboardX", *TRAIN), "train,tensorboard", packages),
        _by_packages("draw figures", ("matplotlib",), "plot", packages),
        _by_packages("write reports", ("plotly",), "report", packages),
        _by_packages("read files of ASE", ("ase",), "ase", packages),
        _zstandard(packages),
        _by_packages("give results to pymatgen", ("pymatgen",), "pymatgen", packages),
        _by_packages("convert to HDF5", ("h5py",), "hdf5", packages),
        _by_packages("read and write Parquet", ("pyarrow",), "parquet", packages),
        _by_packages("predict on a Ray cluster", ("ray", "pyarrow"), "ray", packages),
    )
    return Diagnosis(
        __version__, platform.python_version(), f"{platform.system()} {platform.machine()}", dict(packages), driver, abilities
    )


def installed_packages(version_of: Callable[[str], str] = version) -> dict[str, str | None]:
    """Versions of `PACKAGES`, without importing them."""
    return package_versions(PACKAGES, version_of)


def cuda_wheels() -> dict[str, int | None]:
    """The CUDA of `CUDA_PACKAGES`; None for what is not installed, or does not say."""
    return {package: cuda_of(package) for package in CUDA_PACKAGES}


def onnx_providers() -> tuple[str, ...]:
    """What ONNX Runtime can run on; nothing when it is missing or does not load."""
    try:
        return tuple(load_onnxruntime().get_available_providers())
    except ImportError:
        return ()


def _onnx_on_cpu(packages: Mapping[str, str | None], providers: Sequence[str]) -> Ability:
    name = "run ONNX engines on the CPU"
    installed = [package for package in ("onnxruntime", "onnxruntime-gpu") if packages[package]]
    if len(installed) == 2:
        remedy = "pip uninstall onnxruntime onnxruntime-gpu, then pip install 'bandrt[cpu]' or 'bandrt[cuda]'"
        return Ability(name, bool(providers), "onnxruntime and onnxruntime-gpu overwrite each other; keep one", remedy)
    if not providers:
        broken = f"{installed[0]} is installed but does not load" if installed else "needs onnxruntime"
        return Ability(name, False, broken, "pip install --force-reinstall 'bandrt[cpu]'" if installed else _install("cpu"))
    return Ability(name, True, f"{installed[0]} {packages[installed[0]]}" if installed else "onnxruntime")


def _onnx_on_gpu(
    driver: Driver | NoDriver, packages: Mapping[str, str | None], providers: Sequence[str], wheels: Mapping[str, int | None]
) -> Ability:
    name = "run ONNX engines on a GPU"
    if isinstance(driver, NoDriver):
        return Ability(name, False, driver.reason)
    if CUDA_PROVIDER not in providers:
        replaced = "pip uninstall onnxruntime, then " if packages["onnxruntime"] else ""
        return Ability(name, False, "needs onnxruntime-gpu", replaced + _install("cuda"))
    if reason := _too_old(driver, PROVIDERS["cuda"].packages, wheels):
        return Ability(name, False, reason)
    if not (by := _by_packages(name, ("cuda-core", "cuda-bindings"), "cuda", packages)).available:
        return by
    return Ability(name, True, ", ".join(f"{gpu.name}, --device cuda:{index}" for index, gpu in enumerate(driver.gpus)))


def _onnx_by_tensorrt(
    driver: Driver | NoDriver, packages: Mapping[str, str | None], providers: Sequence[str], wheels: Mapping[str, int | None]
) -> Ability:
    name = "run ONNX engines by TensorRT"
    if not (cuda := _onnx_on_gpu(driver, packages, providers, wheels)).available:
        return Ability(name, False, cuda.detail, cuda.remedy)
    if TENSORRT_PROVIDER not in providers:
        return Ability(name, False, "this build of onnxruntime-gpu does not have it")
    found = packages["tensorrt"]
    if found is None or found.partition(".")[0] != str(PROVIDED_TENSORRT):
        has = f", and {found} is installed" if found else ""
        return Ability(name, False, f"needs TensorRT {PROVIDED_TENSORRT}{has}", f"pip install 'tensorrt<{PROVIDED_TENSORRT + 1}'")
    return Ability(name, True, f"tensorrt {found}, --device tensorrt:N")


def _onnx_by_tensorrt_rtx(
    driver: Driver | NoDriver, packages: Mapping[str, str | None], wheels: Mapping[str, int | None]
) -> Ability:
    name, needed = "run ONNX engines by TensorRT-RTX", (*PROVIDERS["nv-tensorrt-rtx"].packages, "cuda-core")
    if isinstance(driver, NoDriver):
        return Ability(name, False, driver.reason)
    if (untargeted := _no_target(driver)) is not None:
        return Ability(name, False, f"{untargeted}; use --device cuda:N")
    if reason := _too_old(driver, needed, wheels):
        return Ability(name, False, reason)
    by = _by_packages(name, needed, "nv-tensorrt-rtx", packages)
    return Ability(name, True, f"{by.detail}, --device nv-tensorrt-rtx:N") if by.available else by


def _no_target(driver: Driver) -> str | None:
    """Why TensorRT-RTX runs on none of the GPUs; None where it does on one."""
    if any(gpu.target in RTX_TARGETS for gpu in driver.gpus):
        return None
    return f"TensorRT-RTX has no target for {', '.join(dict.fromkeys(gpu.target for gpu in driver.gpus))}"


def _plans_on_gpu(
    backend: PlanBackend, driver: Driver | NoDriver, packages: Mapping[str, str | None], wheels: Mapping[str, int | None]
) -> Ability:
    name = f"run {PLAN_NAMES[backend]} plans"
    if isinstance(driver, NoDriver):
        return Ability(name, False, driver.reason)
    if backend == "tensorrt-rtx" and (untargeted := _no_target(driver)) is not None:
        return Ability(name, False, f"{untargeted}; {WITHOUT_RTX}")
    needed = (PIP_NAMES[backend], "cuda-core", "cuda-bindings")
    if reason := _too_old(driver, needed, wheels):
        return Ability(name, False, reason)
    return _by_packages(name, needed, backend, packages)


def _too_old(driver: Driver, needed: Sequence[str], wheels: Mapping[str, int | None]) -> str | None:
    return too_old(driver, {package: wheels.get(package) for package in needed})


def _tensorrt_builds(driver: Driver | NoDriver, packages: Mapping[str, str | None], wheels: Mapping[str, int | None]) -> Ability:
    name = "build TensorRT plans"
    if isinstance(driver, NoDriver):
        return Ability(name, False, f"are built on the GPU that will run them, and {driver.reason}")
    if reason := _too_old(driver, ("tensorrt",), wheels):
        return Ability(name, False, reason)
    return _by_packages(name, ("tensorrt", "onnx"), "export,tensorrt", packages)


def _zstandard(packages: Mapping[str, str | None]) -> Ability:
    name = "read .zst files"
    if sys.version_info >= (3, 14):
        return Ability(name, True, "Python's own compression.zstd")
    return _by_packages(name, ("backports.zstd",), "zstd", packages)


def _by_packages(name: str, needed: Sequence[str], extra: str, packages: Mapping[str, str | None]) -> Ability:
    if missing := [package for package in needed if not packages[package]]:
        return Ability(name, False, f"needs {', '.join(missing)}", _install(extra))
    return Ability(name, True, f"{needed[0]} {packages[needed[0]]}")


def _install(extra: str) -> str:
    return f"pip install 'bandrt[{extra}]'"
