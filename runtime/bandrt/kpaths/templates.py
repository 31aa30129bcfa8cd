"""Latimer-Munro templates: one frame for all descriptions of a lattice, and the shipped table.

A template knows no reciprocal basis: it belongs to a pattern of vanishing Selling parameters and a Laue group in the basis of the
superbase. A lattice has several superbases, in 24 orders each; of all of them the one is taken that comes first by (pattern,
group, size of the integers, integers). That depends on the standard cell and its Laue group alone, not on the one the
reduction ended at, and no length is compared, so rounding noise cannot change it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.kpaths.brillouin_zone import ORDERS, Superbase, equivalent_superbases, reordered
from bandrt.kpaths.selection import Matrix, Template

TABLE = "latimer_munro_templates.json"
"""Shipped beside this module, written by the project's ``tools/kpath_templates.py``."""
FORMAT = 1

_DIGITS = 64 ** np.arange(8, -1, -1)  # entries are far below 32

TemplateKey = tuple[int, tuple[Matrix, ...]]
"""What decides a template: vanishing mask, and Laue group in the basis of the first three superbase vectors, sorted."""


def canonical_frame(superbase: Superbase, rotations: NDArray[Any]) -> tuple[Superbase, TemplateKey]:
    """Choose one of all ordered superbases of a lattice, and express its Laue group there."""
    frames = [reordered(base, order) for base in equivalent_superbases(superbase) for order in ORDERS]
    lowest = min(frame.vanishing for frame in frames)
    frames = [frame for frame in frames if frame.vanishing == lowest]
    columns = np.array([frame.vectors[:3] for frame in frames]).transpose(0, 2, 1)  # f = columns @ f_superbase
    inverse = np.rint(np.linalg.inv(columns)).astype(np.int64)
    groups = inverse[:, None] @ rotations.astype(np.int64) @ columns[:, None]  # (n_frames, n_operations, 3, 3)
    codes = np.sort(groups.reshape(len(frames), -1, 9) @ _DIGITS, axis=1).tolist()  # in the order of the matrices' entries
    candidates = [
        (code, sum(abs(a) for v in frame.vectors for a in v), tuple(-a for v in frame.vectors for a in v), i)
        for i, (code, frame) in enumerate(zip(codes, frames, strict=True))
    ]
    chosen = min(candidates)[-1]
    return frames[chosen], (lowest, tuple(sorted(map(tuple, groups[chosen].reshape(-1, 9).tolist()))))


@cache
def table() -> dict[TemplateKey, Template]:
    """The shipped templates."""
    return from_json(Path(__file__).with_name(TABLE).read_text(encoding="utf-8"))


def to_json(templates: dict[TemplateKey, Template]) -> str:
    """Write templates as JSON, one line each; equal tables give equal texts."""
    groups = sorted({group for _, group in templates})
    laue = [json.dumps(group, separators=(",", ":")) for group in groups]
    lines = [
        json.dumps({"vanishing": mask, "group": groups.index(group), **asdict(template)}, separators=(",", ":"))
        for (mask, group), template in sorted(templates.items(), key=lambda item: item[0])
    ]
    join = ",\n".join
    return f'{{"format":{FORMAT},"groups":[\n{join(laue)}\n],"templates":[\n{join(lines)}\n]}}\n'


def from_json(text: str) -> dict[TemplateKey, Template]:
    """Read what `to_json` wrote."""
    content = json.loads(text)
    if content["format"] != FORMAT:
        raise ValueError(f"{TABLE}: format {content['format']}, this version reads {FORMAT}")
    groups = [tuple(map(tuple, group)) for group in content["groups"]]
    return {
        (entry["vanishing"], groups[entry["group"]]): Template(
            tuple(map(tuple, entry["nodes"])), tuple(entry["orbits"]), tuple(map(tuple, entry["edges"]))
        )
        for entry in content["templates"]
    }
