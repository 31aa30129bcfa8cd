"""Choices of a run that decide its numbers, columns and inputs: what goes on with it, or is merged with it, has to share them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bandrt.run.shard import WHOLE


class Difference(NamedTuple):
    """A choice that two runs have made otherwise."""

    name: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.name} was {_short(self.before)} and is {_short(self.now)}"

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
    return [Difference(name, theirs[name], ours[name]) for name in names if theirs.get(name, ours[name]) != ours[name]]


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


def _short(value: Any) -> str:
    """A choice, for people; of a checksum its beginning."""
    return str(value)[:12] if isinstance(value, str) and len(value) == 64 else repr(value)
