"""Whether a compressed file is whole: what is unpacked from one comes before the checksum at its end has been seen."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bandrt.errors import InputError
from bandrt.readers.text import open_file, unpacked

PACKED: Final = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}
"""How a compressed file begins, whatever it is called, and the ending of files that are compressed so."""
MAX_EXPANSION, FREE_EXPANSION = 500, 2**28
"""How many times its size a file may take when it is unpacked, and the bytes that it may take in any case."""
_PIECE = 2**20


def packing_of(beginning: bytes) -> str:
    """Ending of files that are compressed as one that begins so; empty for one that is not."""
    return next((ending for mark, ending in PACKED.items() if beginning.startswith(mark)), "")


def is_damaged(path: Path) -> bool:
    """Whether a compressed file cannot be read to its end, where its checksum stands; it is read whole, in bounded memory.

    A file that is not compressed, or that nothing here can unpack, is not said to be damaged.
    """
    try:
        with open_file(path) as file:
            packing = packing_of(file.read(8))
            left = max(FREE_EXPANSION, MAX_EXPANSION * path.stat().st_size) if packing else 0
            file.seek(0)
            with unpacked(file, f"file{packing}", name=str(path)) as stream:
                while left > 0 and (piece := stream.read(_PIECE)):
                    left -= len(piece)
    except InputError:
        return False
    except Exception:  # zlib, lzma and their like raise a dozen kinds
        return True
    return False
