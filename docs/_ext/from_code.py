"""Pages made from the code: directives that render its tables, so that no page can say another thing than the program does.

- ``error-codes MODULE:TABLE``: codes with cause and mend;
- ``graph-contract MODULE:TABLE``: arrays with their dimensions, type, unit, meaning and padding;
- ``dimensions MODULE:TABLE``: what their axes count;
- ``fields MODULE:CLASS``: the fields of a class, those of dataclasses in its fields below;
- ``about MODULE``: what a module says of itself;
- ``public-api MODULE``: every public name of a package;
- ``predicted FILE``: a figure of an example crystal, predicted while the site is built.

The role ``repo`` links a file of the repository, and complains of one that is not there.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import click
from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "docs" / "_generated"


def lookup(target: str) -> Any:
    """What ``module:attribute`` names."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def entries(table: Any) -> list[Any]:
    """The entries of a table that is a mapping or a sequence."""
    return list(table.values() if isinstance(table, Mapping) else table)


def documentation(kind: type) -> dict[str, str]:
    """What a class says of its fields: in texts after them, or under ``Attributes:``."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(tree, ast.ClassDef)
    found = _attributes_section(inspect.getdoc(kind) or "")
    for before, after in zip(tree.body, tree.body[1:], strict=False):
        if not (isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name) and isinstance(after, ast.Expr)):
            continue
        if isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            found[before.target.id] = _one_line(after.value.value)
    return found


def _attributes_section(text: str) -> dict[str, str]:
    _, _, section = text.partition("Attributes:\n")
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if line and not line.startswith(" "):
            break
        head, colon, rest = line.strip().partition(": ")
        if line.startswith("    ") and not line.startswith("     ") and colon:
            name, found[head] = head, rest
        elif name:
            found[name] += " " + line.strip()
    return {field: _one_line(said) for field, said in found.items()}


def _one_line(text: str) -> str:
    return " ".join(text.split())


def written_type(hint: Any) -> str:
    """A type as a reader knows it: allowed values for a literal."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return ", ".join(f"`{option}`" for option in options)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(written_type(option) for option in options))
    if hint is type(None):
        return "nothing"
    if origin in (tuple, list):
        return f"list of {written_type(options[0])}"
    if origin is dict:
        return "table"
    names = {float: "number", int: "whole number", str: "text", bool: "true or false"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def inner_dataclasses(hint: Any) -> Iterator[type]:
    """The dataclasses that a type holds."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        yield hint
    for option in typing.get_args(hint):
        yield from inner_dataclasses(option)


class Tabular(SphinxDirective):
    """A directive that writes tables whose cells are running text."""

    required_arguments = 1
    final_argument_whitespace = True

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]], ids: Sequence[str] | None = None) -> nodes.Node:
        """A table.

        Args:
            header: titles of the columns.
            rows: cells as text with inline marks.
            ids: anchors of the rows.
        """
        rows = list(rows)
        group = nodes.tgroup(cols=len(header))
        group += [nodes.colspec(colwidth=1) for _ in header]
        group += nodes.thead("", self._row(header))
        body = nodes.tbody()
        for index, cells in enumerate(rows):
            row = self._row(cells)
            if ids is not None:
                row["ids"].append(ids[index])
            body += row
        group += body
        return nodes.table("", group, classes=["from-code"])

    def _row(self, cells: Sequence[str]) -> nodes.row:
        row = nodes.row()
        for cell in cells:
            inline, messages = self.parse_inline(cell) if cell else ([], [])
            row += nodes.entry("", nodes.paragraph("", "", *inline), *messages)
        return row

    def text(self, text: str) -> list[nodes.Node]:
        """Blocks of text."""
        holder = nodes.container()
        self.state.nested_parse(StringList(text.splitlines(), self.arguments[0]), self.content_offset, holder)
        return list(holder.children)


class ErrorCodes(Tabular):
    """``error-codes MODULE:TABLE``: an anchor for each code."""

    option_spec: ClassVar[dict[str, Any]] = {"prefix": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """The table, by code."""
        found = sorted(entries(lookup(self.arguments[0])), key=lambda entry: str(entry.code))
        ids = [f"{self.options.get('prefix', '')}{entry.code}" for entry in found]
        rows = [(f"`{entry.code}`", _marked(entry.cause), _marked(entry.mend)) for entry in found]
        return [self.table(("code", "cause", "what mends it"), rows, ids)]


def _marked(text: str) -> str:
    """A sentence as it is, its options as code: stars are no emphasis."""
    return re.sub(r"(?<![\w`-])--[a-z][a-z-]+", r"`\g<0>`", text.replace("*", "\\*"))


class GraphContract(Tabular):
    """``graph-contract MODULE:TABLE``."""

    def run(self) -> list[nodes.Node]:
        """The table, in the order of the engine."""
        found = entries(lookup(self.arguments[0]))
        padded = any(one.padding is not None for one in found)
        header = ("array", "dimensions", "type", *(("padding",) if padded else ()), "unit", "meaning")
        rows = [
            (f"`{one.name}`", one.written(), f"`{one.dtype}`", *((_padding(one),) if padded else ()), one.unit, _meaning(one))
            for one in found
        ]
        return [self.table(header, rows)]


def _padding(array: Any) -> str:
    return "" if array.padding is None else f"`{str(array.padding).lower()}`"


def _meaning(array: Any) -> str:
    return f"{array.meaning}; only in engines whose manifest lists it" if array.optional else str(array.meaning)


class Dimensions(Tabular):
    """``dimensions MODULE:TABLE``."""

    def run(self) -> list[nodes.Node]:
        """The table, in its own order."""
        rows = [(f"`{one.symbol}`", one.meaning, one.size) for one in entries(lookup(self.arguments[0]))]
        return [self.table(("dimension", "counts", "size"), rows)]


class Fields(Tabular):
    """``fields MODULE:CLASS``; a dataclass in a field is a table below.

    ``:keys:`` for the keys of a TOML file, whose sections those are; ``:columns:`` for a class whose fields all have a value.
    """

    option_spec: ClassVar[dict[str, Any]] = {"keys": directives.flag, "columns": directives.flag}

    def run(self) -> list[nodes.Node]:
        """A table for the class and each that it holds."""
        return self._tables(lookup(self.arguments[0]), title="", seen=set())

    def _tables(self, kind: type, *, title: str, seen: set[type]) -> list[nodes.Node]:
        seen.add(kind)
        hints, said = typing.get_type_hints(kind), documentation(kind)
        inner = {name: list(inner_dataclasses(hint)) for name, hint in hints.items()}
        shown = [name for name in hints if not ("keys" in self.options and inner[name])]
        header = ["name", "type", "default", "meaning"]
        rows = [
            [f"`{name}`", written_type(hints[name]), _default(kind, name), said.get(name) or _first_line(inner[name])]
            for name in shown
        ]
        if "columns" in self.options:
            for row in (header, *rows):
                del row[2]
        found: list[nodes.Node] = []
        if title:
            found.append(nodes.rubric("", title))
            found += self.text((inspect.getdoc(kind) or "").partition("\n\n")[0])
        found.append(self.table(header, rows))
        for name, kinds in inner.items():
            for one in kinds:
                if one not in seen:
                    found += self._tables(one, title=f"[{name}]" if "keys" in self.options else one.__name__, seen=seen)
        return found


def _first_line(kinds: list[type]) -> str:
    """What the one class in a field says of itself."""
    return (inspect.getdoc(kinds[0]) or "").partition("\n")[0] if len(kinds) == 1 else ""


def _default(kind: type, name: str) -> str:
    """The default of a field as a reader writes it."""
    field = {field.name: field for field in dataclasses.fields(kind)}.get(name) if dataclasses.is_dataclass(kind) else None
    if field is None or field.default is dataclasses.MISSING:
        return ""
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return "" if field.default in (None, "", ()) else f"`{field.default}`"


class About(Tabular):
    """``about MODULE``: its docstring without the title line."""

    def run(self) -> list[nodes.Node]:
        """The text."""
        text = inspect.getdoc(import_module(self.arguments[0])) or ""
        return self.text(text.partition("\n\n")[2])


class PublicApi(SphinxDirective):
    """``public-api MODULE``: autodoc of everything in ``__all__``, or of the names in the content, one a line, see `_named`."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Classes and functions, in the order of their names."""
        module = import_module(self.arguments[0])
        names = [f"{module.__name__}.{name}" for name in sorted(set(module.__all__) - {"__version__"}, key=str.lower)]
        lines: list[str] = []
        asked = [name for line in self.content for name in _named(line)]
        for name in asked or names:
            home, _, last = name.rpartition(".")
            what = getattr(import_module(home), last)
            kind = "function" if not isinstance(what, type) else "exception" if issubclass(what, Exception) else "class"
            lines += [f".. auto{kind}:: {name}", *(["   :members:"] if kind == "class" else []), ""]
        text = "\n".join(lines)
        holder = nodes.container()
        self.state.nested_parse(StringList(["```{eval-rst}", *text.splitlines(), "```"], "public-api"), self.content_offset, holder)
        return list(holder.children)


def _named(name: str) -> list[str]:
    """A name as it is; for ``MODULE:errors`` those of its errors that `bandrt` itself does not have."""
    module, _, errors = name.partition(":")
    if not errors:
        return [name]
    import bandrt

    found = vars(import_module(module)).items()
    kinds = [one for one, kind in found if isinstance(kind, type) and issubclass(kind, bandrt.BandrtError)]
    return [f"{module}.{one}" for one in kinds if one not in bandrt.__all__]


class Predicted(SphinxDirective):
    """``predicted FILE``: the figure of a crystal of ``examples/crystals``; the content is the caption."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """A figure, drawn with the shipped engine."""
        import bandrt
        from bandrt.bands.plot import save

        crystal = ROOT / "examples" / "crystals" / self.arguments[0]
        path = GENERATED / f"{crystal.stem}.svg"
        GENERATED.mkdir(exist_ok=True)
        with bandrt.load() as engine:
            [result] = engine.predict([crystal])
        assert isinstance(result, bandrt.Prediction)
        save(result.band_structure, path, name=result.id)
        caption = " ".join(self.content)
        inline, messages = self.parse_inline(caption)
        image = nodes.image(
            uri=f"/{GENERATED.name}/{path.name}", alt=f"Predicted band structure of {crystal.stem}", classes=["predicted"]
        )
        return [nodes.figure("", image, nodes.caption("", "", *inline)), *messages]


class RepositoryFile(SphinxRole):
    """``{repo}`path```: a file or folder of the repository; a link where the project says where it is published."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The name of the file, linked if there is somewhere to link to."""
        if not (ROOT / self.text).exists():
            message = self.inliner.reporter.error(f"no file {self.text} in the repository", line=self.lineno)
            return [nodes.literal("", self.text)], [message]
        name = nodes.literal("", self.text)
        address = repository()
        if address is None:
            return [name], []
        return [nodes.reference("", "", name, refuri=f"{address}/blob/main/{self.text}")], []


def mend_docstring(_app: Sphinx, what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Let a letter follow inline code, as in several `Crystal`s, and an attribute be described with a colon.

    reStructuredText wants a sign after inline code, and napoleon takes for a type what stands before a colon in the first line.
    """
    if what in ("attribute", "property"):
        lines[:0] = ["..", ""]  # an empty comment
    lines[:] = [re.sub(r"(?<!`)(`[^`]+`)(?=[A-Za-z])", r"\1\\ ", line) for line in lines]


def shorten_signature(
    _app: Sphinx, _what: str, _name: str, _object: Any, _options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Write arrays as the code does: NDArray and the type of their values."""
    array = re.compile(
        r"(?:numpy\.|~)*ndarray\[tuple\[(?:typing\.|~)*Any, \.\.\.\], (?:numpy\.|~)*dtype\[(?:numpy\.|~)*(\w+)(?:\[[^\]]*\])?\]\]"
    )
    short = [None if text is None else array.sub(r"NDArray[\1]", text) for text in (signature, returns)]
    return short[0], short[1]


def mend_help(_app: Sphinx, _context: click.Context, lines: list[str]) -> None:
    """Keep the stars of file patterns: in reStructuredText they begin emphasis."""
    lines[:] = [line.replace("*", "\\*") for line in lines]


def repository() -> str | None:
    """Where the project is published, if ``pyproject.toml`` says it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    urls = {name.lower(): address for name, address in project.get("urls", {}).items()}
    found = urls.get("repository") or urls.get("source")
    return None if found is None else str(found).rstrip("/")


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx."""
    app.setup_extension("sphinx_click")  # whose event is used below
    app.add_directive("error-codes", ErrorCodes)
    app.add_directive("graph-contract", GraphContract)
    app.add_directive("dimensions", Dimensions)
    app.add_directive("fields", Fields)
    app.add_directive("about", About)
    app.add_directive("public-api", PublicApi)
    app.add_directive("predicted", Predicted)
    app.connect("autodoc-process-docstring", mend_docstring, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("sphinx-click-process-description", mend_help)
    app.add_role("repo", RepositoryFile())
    return {"parallel_read_safe": False, "parallel_write_safe": True}
