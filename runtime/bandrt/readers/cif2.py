"""CIF 2.0 written as CIF 1.1, which the parser reads: triple quotes, lists and tables.

A list or table becomes one value that no item of a crystal has, so that it does no harm where nobody asks for it and is refused
where it stands for a number or a symbol.
"""

from __future__ import annotations

import re

_MAGIC = re.compile(r"#\\#CIF_2\.")
_FEATURES = re.compile(r"'''|\"\"\"|(?:^|\s)[\[{]", re.MULTILINE)
_TOKEN = re.compile(
    r"(?P<text>^;.*?^;)"
    r"|(?P<triple>'''(?:.*?)'''|\"\"\"(?:.*?)\"\"\")"
    r"|(?P<quoted>'[^'\n]*'|\"[^\"\n]*\")"
    r"|(?P<comment>\#[^\n]*)"
    r"|(?P<name>(?:data|save)_\S*)"
    r"|(?P<bracket>[\[\]{}])"
    r"|(?P<blank>\s+)"
    r"|(?P<bare>[^\s\[\]{}][^\s\[\]{}]*)",
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
_COLLECTION = "'[...]'"
"""What stands for a list or table: no number, element or symmetry."""


def says_cif2(text: str) -> bool:
    """Whether the first line says that this is CIF 2.0."""
    return _MAGIC.match(text) is not None


def looks_like_cif2(text: str) -> bool:
    """Whether there is something in the text that only CIF 2.0 has."""
    return _FEATURES.search(text) is not None


def as_cif1(text: str) -> str | None:
    """The same values in the grammar of CIF 1.1; None if it is not well-formed CIF 2.0."""
    pieces: list[str] = []
    end = depth = 0
    while end < len(text):
        match = _TOKEN.match(text, end)
        if match is None:
            return None
        kind, token = match.lastgroup, match[0]
        end = match.end()
        if kind == "bracket":
            depth += 1 if token in "[{" else -1
            if depth < 0:
                return None
            if depth == 0:
                pieces.append(f"{_COLLECTION} ")
        elif depth == 0:
            pieces.append(_requoted(token) if kind in ("triple", "quoted") else token)
        if kind in ("text", "triple", "quoted") and depth == 0 and end < len(text) and not text[end].isspace():
            return None  # a value that is not parted from the next
    return None if depth else "".join(pieces)


def _requoted(token: str) -> str:
    """A quoted value as CIF 1.1 writes it: there, a quote ends a value where a blank follows."""
    value = token[3:-3] if token[:3] in ("'''", '"""') and len(token) > 5 else token[1:-1]
    if "\n" not in value:
        for quote in "'\"":
            if not re.search(rf"{quote}(\s|$)", value):
                return f"{quote}{value}{quote}"
    return "\n;" + re.sub(r"^;", " ;", value, flags=re.MULTILINE) + "\n;\n"
