"""Plain values of JSON or TOML as dataclasses, checked field by field, and JSON that leaves no doubt.

Manifests are read so, and configurations, descriptions of checkpoints and reports.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
import typing
from collections.abc import Iterable
from typing import Any, Literal, TypeVar

from bandrt.errors import ArgumentError, ManifestError
from bandrt.quoting import quoted, shortened

_UNPRINTABLE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""What a terminal obeys, and what is no text; tabs and ends of lines aside."""
MAX_TEXT, MAX_DEPTH = 2**24, 20
"""Characters, and objects or lists in each other, of a manifest: those of ensembles have some thousand, and five."""

_T = TypeVar("_T")


def parsed(text: str, *, name: str, what: str = "manifest") -> Any:
    """The values of a JSON text that leaves no doubt: finite numbers, each key once, nested no deeper than a manifest is.

    Args:
        text: of the file.
        name: of the file.
        what: it is, for messages.

    Raises:
        ManifestError: ``manifest-invalid``.
    """
    if len(text) > MAX_TEXT:
        raise ManifestError("manifest-invalid", f"{name}: the {what} has {len(text)} characters, at most {MAX_TEXT} are read")
    try:
        values = json.loads(text, parse_float=_finite, parse_constant=_finite, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ManifestError("manifest-invalid", f"{name}: the {what} is not JSON ({shortened(str(error))})") from error
    level = [values]
    for _ in range(MAX_DEPTH):
        level = [inner for value in level if isinstance(value, dict | list) for inner in _inside(value)]
        if (unprintable := next((one for one in level if isinstance(one, str) and _UNPRINTABLE.search(one)), None)) is not None:
            raise ManifestError("manifest-invalid", f"{name}: the {what} holds control characters, in {quoted(unprintable)}")
    if level:
        raise ManifestError("manifest-invalid", f"{name}: the {what} is nested deeper than {MAX_DEPTH} levels")
    return values


def _inside(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return [*value, *value.values()] if isinstance(value, dict) else value


def _finite(written: str) -> float:
    """A number of JSON, which knows neither NaN nor infinities, though Python writes and reads them."""
    number = float(written)
    if not math.isfinite(number):
        raise ValueError(f"{shortened(written)} is no finite number")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = next(key for index, (key, _) in enumerate(pairs) if key in dict(pairs[:index]))
        raise ValueError(f"the key {quoted(twice)} stands in it twice")
    return values


def from_mapping(kind: type[_T], values: Any, *, name: str, where: str = "") -> _T:
    """Build the dataclass `kind` from plain JSON or TOML values, nested ones included; unknown and missing keys are errors.

    Raises:
        ManifestError: ``manifest-invalid``, naming the key and what was found.
    """
    if not isinstance(values, dict):
        raise ManifestError("manifest-invalid", f"{name}: {where or 'top level'} is {quoted(values)}, expected an object")
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(map(str, set(values) - set(fields)))
    if unknown:
        raise ManifestError(
            "manifest-invalid", f"{name}: unknown key {quoted(where + unknown[0])}; known: {', '.join(sorted(fields))}"
        )
    hints = typing.get_type_hints(kind)
    arguments = {key: _convert(hints[key], value, name=name, where=f"{where}{key}") for key, value in values.items()}
    try:
        return kind(**arguments)
    except (TypeError, ArgumentError) as error:
        raise ManifestError("manifest-invalid", f"{name}: {where or 'top level'}: {error}") from error


def _convert(hint: Any, value: Any, *, name: str, where: str) -> Any:
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return from_mapping(typing.cast(type, hint), value, name=name, where=f"{where}.")
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in options:
            return None
        [inner] = [o for o in options if o is not type(None)]
        return _convert(inner, value, name=name, where=where)
    if origin is Literal:
        if any(type(value) is type(option) and value == option for option in options):
            return value
        raise ManifestError("manifest-invalid", f"{name}: {where} is {quoted(value)}, allowed: {', '.join(map(repr, options))}")
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(options[0], item, name=name, where=where) for item in value)
    if origin is dict and isinstance(value, dict):
        return {str(k): _convert(options[1], item, name=name, where=f"{where}.{k}") for k, item in value.items()}
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ManifestError("manifest-invalid", f"{name}: {where} is {quoted(value)}, expected a finite number") from None
    if isinstance(hint, type) and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    expected = getattr(hint, "__name__", str(hint))
    raise ManifestError("manifest-invalid", f"{name}: {where} is {quoted(value)}, expected {expected}")
