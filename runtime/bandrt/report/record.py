"""What was run, in words: what ``run.json`` says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from bandrt.results.store import unfinished

Facts = list[tuple[str, str]]
"""Names and values, for people."""
_MOST_INPUTS = 20
"""Inputs that are listed; of more, how many there are."""
_WHOLE = "1/1"
"""The shard of a run of all its inputs."""
NO_CHECKSUM = "the engine has none: it may have been changed since its export"


def headline(record: Mapping[str, Any]) -> str:
    """By what, when and where a run was made, and whether its end is missing, in one line; of what is not recorded, nothing."""
    engine, gpu = _of(record, "engine"), record.get("gpu")
    name = _engine_name(engine)
    made = [
        f"engine {name}" if name else "",
        _words(gpu.get("name")) if isinstance(gpu, Mapping) else _words(_of(record, "options").get("device")),
        _words(record.get("started")).replace("T", " ").replace("+00:00", " UTC"),
        f"bandrt {version}" if (version := _words(record.get("bandrt_version"))) else "",
        unfinished(record),
    ]
    return ", ".join(filter(None, made)) or "its run.json is not there: nothing is known of how it was made"


def run_facts(record: Mapping[str, Any]) -> Facts:
    """What is said of a run; what is not recorded is left out."""
    engine, counts, seconds = _of(record, "engine"), _of(record, "counts"), _of(record, "seconds")
    gpu, merged = record.get("gpu"), _of(record, "merge").get("runs")
    facts = [
        ("status", record.get("status")),
        ("inputs", _listed(record.get("inputs"))),
        ("merged of", f"{len(merged)} runs" if isinstance(merged, list) else None),
        ("engine", engine.get("path")),
        ("model", _joined(engine.get(name) for name in ("variant", "precision", "backend"))),
        ("checksum", NO_CHECKSUM if engine.get("has_checksum") is False else None),
        ("weights (SHA-256)", engine.get("checkpoint_sha256")),
        ("hands crystals over to", _hand_over(engine.get("hand_over"))),
        ("GPU", _pairs(gpu) if isinstance(gpu, Mapping) else None),
        ("options", _pairs(_of(record, "options"))),
        ("counts", _pairs(counts)),
        ("recipe", _recipe(_of(record, "recipe"))),
        ("versions", _pairs(_of(record, "versions"))),
        ("seconds", _pairs(seconds)),
    ]
    return [(name, text) for name, value in facts if (text := _words(value))]


def _engine_name(engine: Mapping[str, Any]) -> str:
    path = engine.get("path")
    return PurePath(path).name if isinstance(path, str) else _words(engine.get("variant"))


def _of(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = record.get(name)
    return found if isinstance(found, Mapping) else {}


def _hand_over(value: object) -> object:
    return value.get("engine") or value.get("path") if isinstance(value, Mapping) else value


def _listed(inputs: object) -> str:
    if not isinstance(inputs, list):
        return ""
    more = f" and {len(inputs) - _MOST_INPUTS} more" if len(inputs) > _MOST_INPUTS else ""
    return _joined(inputs[:_MOST_INPUTS]) + more


def _recipe(recipe: Mapping[str, Any]) -> str:
    kpath, symmetry, graph = (_of(recipe, name) for name in ("kpath", "symmetry", "graph"))
    return _joined(
        [
            f"k-path {kpath.get('scheme')}, {kpath.get('n_kpoints')} points" if kpath else "",
            f"symmetry to {symmetry.get('symprec')} Å" if symmetry else "",
            f"neighbours within {graph.get('cutoff')} Å" if graph else "",
        ],
        "; ",
    )


def _pairs(values: Mapping[str, Any]) -> str:
    """Values by name, without those that say that something was not asked for."""
    asked = {name: value for name, value in values.items() if value is not False and _words(value) not in ("", _WHOLE)}
    return _joined(f"{name} {_words(value)}" for name, value in asked.items())


def _joined(values: Iterable[object], between: str = ", ") -> str:
    return between.join(filter(None, map(_words, values)))


def _words(value: object) -> str:
    """A value of JSON as it is read."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list():
            return " ".join(map(_words, value))
        case Mapping():
            return ", ".join(f"{name} {_words(one)}" for name, one in value.items())
        case _:
            return str(value)
