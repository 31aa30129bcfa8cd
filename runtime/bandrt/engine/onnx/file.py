"""The manifest inside an ONNX file, read without a backend.

An ONNX file is one protobuf message, of which only the metadata (field 14, pairs of key and value) matter here; the weights
are skipped, so reading takes no longer for a large model.
Source: github.com/onnx/onnx/blob/main/onnx/onnx.proto, protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from bandrt.errors import EngineError, ManifestError
from bandrt.manifest import METADATA_KEY, Manifest

_METADATA_FIELD = 14
_VARINT, _EIGHT_BYTES, _DELIMITED, _FOUR_BYTES = 0, 1, 2, 5


def manifest_of(path: Path) -> Manifest:
    """Read and check the manifest of an ONNX file.

    Raises:
        EngineError: ``engine-unreadable`` when the file is truncated or no ONNX model.
        ManifestError: ``manifest-missing``, or what `Manifest.from_json` finds.
    """
    try:
        with path.open("rb") as file:
            metadata = _metadata(file, path.stat().st_size)
    except (OSError, ValueError) as error:
        raise EngineError("engine-unreadable", f"{path}: is truncated or not an ONNX model ({error})") from error
    if METADATA_KEY not in metadata:
        raise ManifestError("manifest-missing", f"{path}: is a model without a bandrt manifest; make it with: bandrt export")
    return Manifest.from_json(metadata[METADATA_KEY], name=str(path))


def _metadata(file: BinaryIO, size: int) -> dict[str, str]:
    if size == 0:
        raise ValueError("the file is empty")
    found: dict[str, str] = {}
    while file.tell() < size:
        field, content = _field(file, size, wanted=_METADATA_FIELD)
        if field == _METADATA_FIELD:
            pair, entry = BytesIO(content), {1: b"", 2: b""}
            while pair.tell() < len(content):
                number, text = _field(pair, len(content), wanted=None)
                entry[number] = text
            found[entry[1].decode()] = entry[2].decode()
    return found


def _field(file: BinaryIO, size: int, *, wanted: int | None) -> tuple[int, bytes]:
    """Read one field; the content of delimited fields other than `wanted` is skipped (None: read all)."""
    tag = _varint(file)
    field, wire = tag >> 3, tag & 7
    if wire == _VARINT:
        _varint(file)
        return field, b""
    if wire not in (_DELIMITED, _EIGHT_BYTES, _FOUR_BYTES):
        raise ValueError(f"unknown wire type {wire}")
    length = _varint(file) if wire == _DELIMITED else {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}[wire]
    if file.tell() + length > size:
        raise ValueError(f"a field of {length} bytes reaches beyond the end")
    if wire == _DELIMITED and wanted in (None, field):
        return field, file.read(length)
    file.seek(length, 1)
    return field, b""


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("it ends within a number")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("a number is longer than 64 bits")
