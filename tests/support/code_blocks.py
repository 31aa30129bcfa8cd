"""The code blocks of Markdown pages, and what the comment before a block says of it.

``<!-- not run: REASON -->`` is for a block that cannot run here, ``<!-- slow -->`` for one that takes more than ten seconds,
``<!-- output -->`` for what the block before it prints (``...`` stands for anything), ``<!-- file: NAME -->`` for a file that the
reader is to have.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import dropwhile, groupby
from pathlib import Path
from typing import Any, NamedTuple

import click

_BLOCK = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*?) -->\n+)?"
    r"^(?P<fence>`{3,})(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    """Of its first line of code, from 1."""
    language: str
    text: str
    note: str
    """What the comment before it says; empty without one."""

    @property
    def why_not_run(self) -> str | None:
        """The reason, if it is not run."""
        return self.note.removeprefix("not run: ") if self.note.startswith("not run: ") else None

    @property
    def file_name(self) -> str | None:
        """The file that it is the text of, if it is one."""
        return self.note.removeprefix("file: ") if self.note.startswith("file: ") else None

    @property
    def is_slow(self) -> bool:
        """Whether it takes more than ten seconds."""
        return self.note == "slow"

    @property
    def is_output(self) -> bool:
        """Whether it is what the block before it prints."""
        return self.note == "output"


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, match.start("text")) + 1, match["language"].strip(), match["text"], match["note"] or "")
        for match in _BLOCK.finditer(text)
    ]


def command_lines(script: str) -> Iterator[list[str]]:
    """The words of every command of a shell script that starts with ``bandrt``, each ``$(...)`` as one word."""
    for line in re.sub(r"\$\([^()]*\)", "$SUBSTITUTED", script.replace("\\\n", " ")).splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        for ends, group in groupby(words, lambda word: set(word) <= set("();<>|&")):
            command = list(dropwhile(lambda word: word in ("do", "then", "srun") or re.fullmatch(r"\w+=\S*", word), group))
            if not ends and command and command[0].rpartition("/")[2] == "bandrt":
                yield command


def check_command(words: list[str]) -> None:
    """Parse a command line by the real commands, running nothing: no option is misspelled, no choice is none.

    Raises:
        click.UsageError: what is wrong with it.
    """
    from bandrt.cli import cli

    context: click.Context = click.Context(cli, info_name="bandrt")
    command: click.Command = cli
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest[0])
        if found is None:
            raise click.UsageError(f"there is no command {rest[0]}")
        command, context, rest = found, click.Context(found, parent=context, info_name=rest[0]), rest[1:]
    values, left, _ = command.make_parser(context).parse_args(list(rest))
    if left:
        raise click.UsageError(f"{shlex.join(words)}: what is {shlex.join(left)}?")
    for parameter in command.params:
        given = values.get(parameter.name or "")
        if parameter.required and not (isinstance(given, str | list | tuple) and given):
            raise click.UsageError(f"{shlex.join(words)}: {parameter.name} is missing")
        kind: Any = parameter.type
        if isinstance(parameter.type, click.Choice | click.IntRange | click.FloatRange):
            for value in given if isinstance(given, list | tuple) else [given]:
                if isinstance(value, str) and "$" not in value:
                    kind.convert(value, parameter, context)
