"""The page: one HTML file with all it needs inside.

Whatever comes from files of users reaches it in two ways: as text that is escaped, or as JSON, compressed and in base64, which the
scripts of the page put into text nodes and never into HTML. As a second wall the page carries a policy by which a browser runs only
the scripts with the checksums given in it, and opens no connection.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from bandrt import __version__
from bandrt.errors import MissingPackageError
from bandrt.quoting import printable
from bandrt.report.columns import Column
from bandrt.report.expected import Expectation, Group
from bandrt.report.kinds import Kind
from bandrt.report.record import Facts
from bandrt.results.derived import PAGE_BY

_ASSETS = Path(__file__).parent / "assets"
_SCRIPTS = ("data.js", "format.js", "search.js", "table.js", "histogram.js", "bands.js", "zone.js", "crystal.js", "main.js")
"""In the order in which they stand in the page."""
_LEVEL = 6
"""Of compression."""


class Contents(NamedTuple):
    """All that a page says."""

    title: str
    headline: str
    """By what, when and where it was run, in one line."""
    counts: Facts
    """Numbers that stand large at the top."""
    said: Sequence[str]
    """Of the crystals that are drawn."""
    expectation: Expectation
    warnings: Sequence[Kind]
    failures: Sequence[Kind]
    run: Facts
    table: Sequence[Column]
    failed: Sequence[Column]
    """The table of failures; empty columns where there are none."""
    drawings: Mapping[str, Mapping[str, Any]]
    """What is drawn, by the id of the crystal, in order."""


def require_plotly() -> str:
    """The source of plotly.js, which draws the large figures.

    Raises:
        MissingPackageError: plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise MissingPackageError("plotly", "report", "a report") from error
    return str(get_plotlyjs())


def page_of(contents: Contents, plotly: str) -> str:
    """The page as HTML.

    Args:
        contents: what it says.
        plotly: the source of plotly.js.
    """
    script = "(() => {\n'use strict';\n" + "\n".join(_asset(name) for name in _SCRIPTS) + "})();\n"
    # a browser takes CR LF and CR in HTML for LF; plotly.js is put into the page by a script, as it is
    return Template(_asset("page.html")).substitute(
        policy=_policy(script, plotly),
        generator=f"{PAGE_BY} {__version__}",
        title=_text(contents.title),
        style=_asset("page.css"),
        headline=_text(contents.headline),
        tiles="".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in contents.counts),
        said=_paragraphs(contents.said),
        expected=_facts(contents.expectation.facts) + _groups(contents.expectation.groups) + _list(contents.expectation.unknown),
        warnings=_kinds(contents.warnings, "crystals", "No crystal has a warning.", searched="search"),
        failures=_kinds(contents.failures, "inputs", "No input failed.", searched="failed-search"),
        no_failures="" if contents.failures else "hidden",
        run=_facts(contents.run),
        table=_packed({"columns": [_values(one) for one in contents.table], "drawn": [printable(id) for id in contents.drawings]}),
        failed=_packed({"columns": [_values(column) for column in contents.failed]}),
        drawings=_packed(list(contents.drawings.values())),
        plotly=_packed_text(plotly),
        script=script,
    )


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _policy(*scripts: str) -> str:
    """What a browser may do with the page: run these scripts, show what it holds, and nothing else."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts)
    more = "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {hashes}; {more}"


def _text(text: str) -> str:
    """Text as HTML has it."""
    return escape(printable(text))


def _paragraphs(said: Iterable[str]) -> str:
    return "".join(f"<p>{_text(one[:1].upper() + one[1:])}.</p>" for one in said)


def _list(said: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(one)}</li>" for one in said) + "</ul>"


def _facts(facts: Facts) -> str:
    rows = "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in facts)
    return f'<dl class="facts">{rows}</dl>'


def _groups(groups: Sequence[Group]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_text(one.name)}</th><td>{one.n_crystals}</td>'
        f"<td>{_number(one.energies_ev, 2)}</td><td>{_number(one.gap_ev, 2)}</td><td>{_number(one.wrong_metal, 0)}</td></tr>"
        for one in groups
    )
    heads = ("crystals with", "how many", "error of energies (eV)", "error of gaps (eV)", "metal or not wrong in")
    head = "".join(f'<th scope="col">{one}</th>' for one in heads)
    content = f"<caption>What to expect, on average</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
    return f'<div class="wide" tabindex="0"><table class="plain">{content}</table></div>'


def _number(value: float, decimals: int) -> str:
    return "not known" if math.isnan(value) else f"{value:.{decimals}f}"


def _kinds(kinds: Sequence[Kind], of: str, none: str, *, searched: str) -> str:
    """Kinds of warnings or failures; a button puts the code into a search box."""
    if not kinds:
        return f"<p>{none}</p>"
    return "".join(
        f'<details class="kind"><summary><b>{one.n}</b> {of if one.n > 1 else of[:-1]}'
        f" <code>{_text(one.code)}</code> <span>{_text(one.cause)}</span></summary>"
        f"<p>{_text(one.mend)}</p><p>Such as:</p>{_list(one.examples)}"
        f'<button type="button" data-search="{searched}" data-text="{_text(one.code)}">Show all {one.n} in the table</button>'
        "</details>"
        for one in kinds
    )


def _values(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "title": column.title,
        "kind": column.kind,
        "decimals": column.decimals,
        "numeric": column.sorts_as_number,
        "values": list(column.values),
    }


def _packed(values: object) -> str:
    return _packed_text(json.dumps(values, separators=(",", ":"), allow_nan=False))


def _packed_text(text: str) -> str:
    """Text as ``data.js`` unpacks it: gzip in base64, in which nothing is HTML."""
    return base64.b64encode(gzip.compress(text.encode(), _LEVEL, mtime=0)).decode("ascii")
