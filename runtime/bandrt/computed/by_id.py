"""Which documents of a file or folder are those of some crystals."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from bandrt.arguments import check_kind
from bandrt.computed.documents import BandDocument, DocumentText
from bandrt.computed.files import BandSource, count_in, documents_in
from bandrt.computed.structure_beside import BANDS_MARK
from bandrt.errors import InputError
from bandrt.files import path_of
from bandrt.quoting import shortened

_MOST_NAMED = 5


def documents_of(source: str | os.PathLike[str], ids: Sequence[str]) -> dict[str, BandDocument]:
    """Find documents of crystals by id: that inside a document, or the name of its file; of several the first counts.

    A single document goes with a single crystal, whatever either is called. Documents of other crystals are not asked whether they
    are whole.

    Args:
        source: a file or folder, see `bandrt.computed.files`.
        ids: of the crystals.

    Returns:
        Documents by those of the ids that have one.

    Raises:
        ArgumentError: ``bad-argument`` for what is no path, or no list of ids.
        NotFoundError: ``file-not-found``.
        InputError: ``no-input``, ``no-reference`` where no crystal has one, or why that of one of them cannot be read.
    """
    source = path_of(source, what="source")
    check_kind("ids", ids, list, tuple)
    for id in ids:
        check_kind("each of ids", id, str)
    if len(ids) == 1 and count_in(source) == 1:
        return {ids[0]: next(documents_in(source)).read().document}
    wanted = dict.fromkeys(ids)
    found: dict[str, BandDocument] = {}
    for one in documents_in(source):
        if len(found) == len(wanted):
            break
        called = Path(one.id).name.removesuffix(BANDS_MARK)
        if called not in wanted and not _may_name(one, ids):
            continue
        try:
            document = one.read().document
        except InputError:
            if called in wanted and called not in found:
                raise
            continue
        id = document.id if document.id in wanted else called
        if id in wanted:
            found.setdefault(id, document)
    if not found:
        named = ", ".join(shortened(id, 40) for id in ids[:_MOST_NAMED])
        raise InputError("no-reference", f"{source}: no bands of {named}; documents are found by their ids, or names of files")
    return found


def _may_name(source: BandSource, ids: Sequence[str]) -> bool:
    """Whether the text of a document has one of the ids in it; without it there is no need to parse it."""
    if not isinstance(source, DocumentText):
        return True
    return any(id in source.text or json.dumps(id)[1:-1] in source.text for id in ids)
