"""The manifest and the checksum inside an ONNX file, read without a backend.

An ONNX file is one protobuf message, of which only the metadata (field 14, pairs of key and value) matter here. The last pair that
`bandrt export` writes is the SHA-256 of every byte before it, weights and manifest included: a flipped bit anywhere is found before
anything is computed. Engines of bandrt before this checksum have no such pair, and are read as they are.
Source: github.com/onnx/onnx/blob/main/onnx/onnx.proto, protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import hashlib
import mmap
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from bandrt.engine.calibration_file import with_calibration
from bandrt.errors import EngineError, ManifestError
from bandrt.manifest import METADATA_KEY, Manifest

CHECKSUM_KEY = "bandrt.sha256"
EXTERNAL_MARK = b"\x08location"
"""A key of this name is what makes a tensor one whose values are in another file."""
_GRAPH_FIELD, _METADATA_FIELD = 7, 14
_VARINT, _EIGHT_BYTES, _DELIMITED, _FOUR_BYTES = 0, 1, 2, 5


class _Metadata(NamedTuple):
    values: dict[str, str]
    places: dict[str, tuple[int, int]]
    """Where each pair begins and ends in the file."""


def manifest_of(path: Path) -> Manifest:
    """Read and check the manifest of an ONNX file, with the calibration beside it, and the file against its checksum if it has one.

    Raises:
        EngineError: ``engine-unreadable`` when the file is truncated or no ONNX model, ``engine-changed`` when it is not the one
            that was exported, ``engine-external-data`` when some of its weights would be read from other files.
        ManifestError: ``manifest-missing``, or what `Manifest.from_json` finds.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            metadata = _metadata(raw, len(raw))
            said = metadata.values.get(CHECKSUM_KEY)
            found = _checksum_before(raw, metadata.places[CHECKSUM_KEY]) if said is not None else None
            external = EXTERNAL_MARK in raw[:]  # a search in the map itself takes ten times as long
    except (OSError, ValueError) as error:
        raise EngineError("engine-unreadable", f"{path}: is truncated or not an ONNX model ({error})") from error
    if METADATA_KEY not in metadata.values:
        raise ManifestError("manifest-missing", f"{path}: is a model without a bandrt manifest; make it with: bandrt export")
    manifest = Manifest.from_json(metadata.values[METADATA_KEY], name=str(path))
    if said != found:
        raise EngineError(
            "engine-changed", f"{path}: is damaged or was changed since its export (its checksum is wrong); copy or export it again"
        )
    if external:
        raise EngineError(
            "engine-external-data",
            f"{path}: some of its weights are in other files, which its checksum does not cover; export it into one file",
        )
    return with_calibration(manifest, path)


def has_checksum(path: Path) -> bool:
    """Whether an ONNX file that `manifest_of` has read carries a checksum."""
    with path.open("rb") as file:
        return CHECKSUM_KEY in _metadata(file, path.stat().st_size).values


def with_checksum(model: bytes) -> bytes:
    """A serialised ONNX model with the checksum of all its bytes at its end, in the place of one that is there already."""
    places = _metadata(BytesIO(model), len(model)).places
    if CHECKSUM_KEY in places:
        start, end = places[CHECKSUM_KEY]
        model = model[:start] + model[end:]
    pair = _delimited(1, CHECKSUM_KEY.encode()) + _delimited(2, hashlib.sha256(model).hexdigest().encode())
    return model + _delimited(_METADATA_FIELD, pair)


def _delimited(field: int, content: bytes) -> bytes:
    """A field with a content of fewer than 128 bytes."""
    return bytes([field << 3 | _DELIMITED, len(content)]) + content


def _checksum_before(raw: mmap.mmap, place: tuple[int, int]) -> str | None:
    """Checksum of all that stands before the pair that says it; None where something stands behind it, too."""
    start, end = place
    with memoryview(raw) as view, view[:start] as before:
        return hashlib.sha256(before).hexdigest() if end == len(raw) else None


def _metadata(file: BinaryIO | mmap.mmap, size: int) -> _Metadata:
    if size == 0:
        raise ValueError("the file is empty")
    found, has_graph = _Metadata({}, {}), False
    while (start := file.tell()) < size:
        field, content = _field(file, size, wanted=_METADATA_FIELD)
        has_graph |= field == _GRAPH_FIELD
        if field == _METADATA_FIELD:
            pair, entry = BytesIO(content), {1: b"", 2: b""}
            while pair.tell() < len(content):
                number, text = _field(pair, len(content), wanted=None)
                entry[number] = text
            key = entry[1].decode()
            if key in found.values and key in (METADATA_KEY, CHECKSUM_KEY):
                raise ValueError(f"it has two entries {key}")
            found.values[key], found.places[key] = entry[2].decode(), (start, file.tell())
    if not has_graph:
        raise ValueError("it holds no graph")
    return found


def _field(file: BinaryIO | mmap.mmap, size: int, *, wanted: int | None) -> tuple[int, bytes]:
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


def _varint(file: BinaryIO | mmap.mmap) -> int:
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("it ends within a number")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("a number is longer than 64 bits")
