"""Draw terminals with what commands print, as SVG: ``python tools/terminal_pictures.py [NAME...]``.

The commands of each picture are run, in order, in a folder of their own beside `examples` and `train`; what they print is drawn as
it is, long lines cut. How fast this machine was is left out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
WIDTH = 104
"""Letters of a line."""
LETTER, LINE, MARGIN, SIZE = 7.25, 17.0, 14.0, 12.0
"""Pixels: width of a letter, height of a line, around all, and height of letters."""
PAPER, INK, TYPED = "#1d2430", "#d7dde6", "#8fd0ff"
PROGRAMS = {"bandrt": "-m bandrt ", "python": ""}
"""What is called, and what Python is called with for it."""
SPEED = re.compile("crystals/s|s a crystal")
PICTURES: dict[str, Sequence[str]] = {
    "screen": (
        "bandrt infer examples/crystals -o quick --engine fast",
        "bandrt screen quick --gap 1.0:1.6 --top 5",
        "bandrt refine quick --gap 1.0:1.6 --top 5",
        "bandrt screen quick --refined quick-refined --gap 1.0:1.6 --top 5",
    ),
    "masses": ("bandrt dos examples/crystals/MgO_mp-1265.vasp", "bandrt masses examples/crystals/MgO_mp-1265.vasp"),
    "convert": (
        "bandrt infer examples/crystals/AlAs_mp-2172.cif examples/crystals/GaN_mp-830.cif -o two --engine fast",
        "bandrt convert two --to parquet",
        "bandrt convert two --to hdf5",
        "bandrt convert two --to pymatgen",
        "python -c 'import pandas; print(pandas.read_parquet(\"two/bands.parquet\").iloc[:, :9].T)'",
    ),
    "merge": (
        "bandrt infer examples/crystals -o shards/1 --shard 1/2 --engine fast",
        "bandrt infer examples/crystals -o shards/2 --shard 2/2 --engine fast",
        "bandrt merge shards/* -o merged",
    ),
    "verify": (
        "bandrt inspect fast | tail -n 9",
        "bandrt verify fast --against fast examples/crystals/*.vasp",
    ),
    "doctor": ("bandrt doctor",),
    "warm-up": ("bandrt warm-up fast", "bandrt warm-up --help | head -n 12"),
}
"""Pages show these: names of pictures, and the commands that are run for each."""


def main() -> None:
    """Draw those that are named; all if none are."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or PICTURES:
        (IMAGES / f"{name}.svg").write_text(terminal(PICTURES[name], printed(PICTURES[name])), encoding="utf-8")


def printed(commands: Sequence[str]) -> list[str]:
    """Run commands in a new folder; what each prints."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        for shared in ("examples", "train"):
            (here / shared).symlink_to(ROOT / shared)
        (here / ".bin").mkdir()
        for program, arguments in PROGRAMS.items():
            (here / ".bin" / program).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments}"$@"\n', encoding="utf-8")
            (here / ".bin" / program).chmod(0o755)
        environment = {**os.environ, "PATH": f"{here / '.bin'}:{os.environ['PATH']}", "PYTHONWARNINGS": "ignore"}
        outputs = []
        for command in commands:
            run = ["bash", "-c", command]
            done = subprocess.run(run, cwd=here, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            outputs.append(done.stdout.replace(f"{here}/", "").replace(f"{ROOT}/", ""))
            if done.returncode not in (0, 3):
                raise SystemExit(f"{command}: exit code {done.returncode}\n{done.stdout}")
        return outputs


def terminal(commands: Sequence[str], outputs: Sequence[str]) -> str:
    """An SVG of commands, each with what it printed below."""
    lines: list[tuple[str, str]] = []
    for command, output in zip(commands, outputs, strict=True):
        lines.append((f"$ {command}", TYPED))
        lines += [(line.expandtabs(), INK) for line in output.rstrip().splitlines() if not SPEED.search(line)]
        lines.append(("", INK))
    width, height = 2 * MARGIN + WIDTH * LETTER, 2 * MARGIN + (len(lines) - 1) * LINE
    texts = [
        f'<text x="{MARGIN:g}" y="{MARGIN + LINE * (number + 0.75):g}" fill="{color}">{escape(_cut(line), quote=False)}</text>'
        for number, (line, color) in enumerate(lines[:-1])
        if line
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
        f' font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="{SIZE:g}" style="white-space: pre"'
        ' xml:space="preserve">\n'
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>\n' + "\n".join(texts) + "\n</svg>\n"
    )


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


if __name__ == "__main__":
    main()
