"""The checksum that a JSON file beside an engine carries of all else that it says, however that is laid out.

Files that were written before there was one have none, and are read as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from bandrt.errors import ManifestError

KEY = "content_sha256"


def content_sha256(values: Mapping[str, Any]) -> str:
    """The SHA-256 of values of JSON, aside from the one that is stated among them."""
    others = {name: value for name, value in values.items() if name != KEY}
    text = json.dumps(others, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def checked(values: Mapping[str, Any], *, name: str, what: str) -> dict[str, Any]:
    """Values without their checksum, which is compared if one is stated.

    Args:
        values: of JSON.
        name: of the file.
        what: it is, for the message.

    Raises:
        ManifestError: ``manifest-invalid`` where the values are not those that were written.
    """
    if values.get(KEY) not in (None, content_sha256(values)):
        raise ManifestError(
            "manifest-invalid",
            f"{name}: the {what} is damaged or was changed since it was written (its checksum, {KEY}, is wrong); copy it again, or"
            " make it again",
        )
    return {key: value for key, value in values.items() if key != KEY}


def text_of(values: Mapping[str, Any]) -> str:
    """Values with their checksum as JSON, with sorted keys, so that equal values give equal text."""
    plain = json.loads(json.dumps(values, allow_nan=False))  # as whoever reads the text has them
    stated = {**plain, KEY: content_sha256(plain)}
    return json.dumps(stated, ensure_ascii=False, sort_keys=True, indent=1, allow_nan=False)
