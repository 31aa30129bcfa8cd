"""Choices of a run that decide its numbers, columns and inputs: what goes on with it, or is merged with it, has to share them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bandrt.engine import NAMED_ENGINES
from bandrt.quoting import quoted, shortened
from bandrt.run.shard import WHOLE


class Difference(NamedTuple):
    """A choice that two runs have made otherwise."""

    name: str
    before: str
    """As people are told it."""
    now: str

    def __str__(self) -> str:
        return f"{self.name} was {self.before} and is {self.now}"

    @property
    def is_of_engine(self) -> bool:
        """Whether the engines are others."""
        return self.name in ("engine", "hand_over")


def differences(before: Mapping[str, Any], now: Mapping[str, Any], *, shards: bool = True) -> list[Difference]:
    """Where two records in ``run.json`` differ, engines first; what one of them lacks is no difference.

    Args:
        before: a record.
        now: another.
        shards: whether shares of the inputs count as choices.
    """
    theirs, ours = _deciding(before), _deciding(now)
    names = [name for name in ours if shards or name != "shard"]
    different = [name for name in names if theirs.get(name, ours[name]) != ours[name]]
    return [Difference(name, _told(name, before, theirs[name]), _told(name, now, ours[name])) for name in different]


def _deciding(record: Mapping[str, Any]) -> dict[str, Any]:
    """The choices of a record that count, as far as it has them; threads and workers do not."""
    engine, options = (part if isinstance(part := record.get(name), Mapping) else {} for name in ("engine", "options"))
    found = {
        "engine": engine.get("sha256"),
        "hand_over": other.get("sha256") if isinstance(other := engine.get("hand_over"), Mapping) else other and str(other),
        "device": str(options["device"]).partition(":")[0] if "device" in options else None,
        "bands": options.get("bands"),
        "batch_size": options.get("batch_size"),
        "structure_column": options.get("structure_column"),
        "keep": options.get("keep"),
        "shard": options.get("shard", str(WHOLE)) if options else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _told(name: str, record: Mapping[str, Any], value: Any) -> str:
    """A choice, for people: an engine by its name or path, with the beginning of its checksum."""
    engine = record.get("engine")
    found = engine.get(name) if name == "hand_over" and isinstance(engine, Mapping) else engine if name == "engine" else None
    short = str(value)[:12] if isinstance(value, str) and len(value) == 64 else quoted(value)
    if not isinstance(found, Mapping) or "path" not in found:
        return short
    path = str(found["path"])
    shipped = next((shipped for shipped, file in NAMED_ENGINES.items() if str(file) == path), None)
    return f"{shipped or shortened(path)} ({short})"
