"""``bandrt doctor``."""

from __future__ import annotations

import dataclasses

import click

from bandrt.cli import options
from bandrt.engine.cuda_driver import NoDriver, find_driver
from bandrt.machine.doctor import Diagnosis, cuda_wheels, examine, installed_packages, onnx_providers


@click.command("doctor", short_help="Say what can be done on this machine, and what is missing.")
@options.as_json("everything")
def command(as_json: bool) -> None:
    """Say what this installation can do on this machine, and which command adds what it cannot."""
    diagnosis = examine(find_driver(), installed_packages(), onnx_providers(), cuda_wheels())
    click.echo(options.json_text(dataclasses.asdict(diagnosis)) if as_json else _for_people(diagnosis))


def _for_people(diagnosis: Diagnosis) -> str:
    packages, driver = diagnosis.packages, diagnosis.driver
    lines = [f"bandrt {diagnosis.bandrt}, Python {diagnosis.python}, {diagnosis.platform}"]
    lines.append("packages: " + ", ".join(f"{name} {version}" for name, version in packages.items() if version))
    lines.append("missing: " + (", ".join(name for name, version in packages.items() if not version) or "nothing"))
    if isinstance(driver, NoDriver):
        lines.append(f"GPU: none, {driver.reason}")
    else:
        gpus = ", ".join(f"{gpu.name} ({gpu.target}, {gpu.memory_gb:.0f} GB)" for gpu in driver.gpus)
        lines.append(f"GPU: {gpus}, driver {driver.release or 'of unknown release'} for CUDA {driver.cuda}")
    width = max(len(ability.name) for ability in diagnosis.abilities)
    for ability in diagnosis.abilities:
        remedy = f": {ability.remedy}" if ability.remedy else ""
        lines.append(f"  {'yes' if ability.available else 'no ':3}  {ability.name:<{width}}  {ability.detail}{remedy}")
    return "\n".join(lines)
