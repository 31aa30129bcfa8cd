"""CIF 2.0 written as CIF 1.1, which the parser reads: triple quotes, lists and tables.

A list or table becomes one value that no item of a crystal has, so that it does no harm where nobody asks for it and is refused
where it stands for a number or a symbol.
"""

from __future__ import annotations

import re
from itertools import islice

_MAGIC = re.compile(r"#\\#CIF_2\.")
_FEATURES = re.compile(r"'''|\"\"\"|(?:^|\s)[\[{]", re.MULTILINE)
_BRACKET = re.compile(r"[\[\]{}]")
_TOKEN = re.compile(
    r"(?P<text>^;.*?^;)"
    r"|(?P<triple>'''(?:.*?)'''|\"\"\"(?:.*?)\"\"\")"
    r"|(?P<quoted>'[^'\n]*'|\"[^\"\n]*\")"
    r"|(?P<comment>\#[^\n]*)"
    r"|(?P<name>(?:data|save)_\S*)"
    r"|(?P<opening>[\[{](?:\s*[\[{])*+)"
    r"|(?P<closing>[\]}](?:\s*[\]}])*+)"
    r"|(?P<plain>(?:(?!data_|save_)[^\s\[\]{}'\"#;]++(?=\s)|\s++)++)"  # of words that begin none of the others
    r"|(?P<bare>[^\s\[\]{}]+)",
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
_MOST_TOKENS = 2_000_000
"""Of one text, a second's work; words without quotes and brackets count little. A crystal of 10,000 atoms has a tenth of it."""
_COLLECTION = "'[...]'"
"""What stands for a list or table: no number, element or symmetry."""


def says_cif2(text: str) -> bool:
    """Whether the first line says that this is CIF 2.0."""
    return _MAGIC.match(text) is not None


def looks_like_cif2(text: str) -> bool:
    """Whether there is something in the text that only CIF 2.0 has."""
    return _FEATURES.search(text) is not None


def as_cif1(text: str) -> str | None:
    """The same values in the grammar of CIF 1.1; None if it is not well-formed CIF 2.0, or of more parts than any crystal has."""
    pieces: list[str] = []
    depth = end = 0
    for match in islice(_TOKEN.finditer(text), _MOST_TOKENS):
        kind, token, end = match.lastgroup, match[0], match.end()
        if kind == "opening":
            depth += len(_BRACKET.findall(token))
        elif kind == "closing":
            depth -= len(_BRACKET.findall(token))
            if depth < 0:
                return None
            if depth == 0:
                pieces.append(f"{_COLLECTION} ")
        elif depth == 0:
            pieces.append(_requoted(token) if kind in ("triple", "quoted") else token)
        if kind in ("text", "triple", "quoted") and depth == 0 and end < len(text) and not text[end].isspace():
            return None  # a value that is not parted from the next
    return None if depth or end < len(text) else "".join(pieces)


def _requoted(token: str) -> str:
    """A quoted value as CIF 1.1 writes it: there, a quote ends a value where a blank follows."""
    value = token[3:-3] if token[:3] in ("'''", '"""') and len(token) > 5 else token[1:-1]
    if "\n" not in value:
        for quote in "'\"":
            if not re.search(rf"{quote}(\s|$)", value):
                return f"{quote}{value}{quote}"
    return "\n;" + re.sub(r"^;", " ;", value, flags=re.MULTILINE) + "\n;\n"
