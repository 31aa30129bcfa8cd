"""One of several shares of the inputs, as a job of an array takes it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bandrt.arguments import checked_whole
from bandrt.errors import UsageError
from bandrt.quoting import quoted
from bandrt.sources import Source

MAX_SHARDS = 1_000_000
_HASH_DIGITS = 16
"""Of a checksum in hexadecimal: 64 bits, which share inputs out evenly."""


@dataclass(frozen=True)
class Shard:
    """A share of the inputs. All shares together are all inputs, and no input is in two.

    The text of an input alone decides in which share it is: not its name, nor its place, nor what stands beside it, nor whether it
    is packed. Inputs of equal text are in one share. An input without a text, such as a file that cannot be opened, is in the
    share of the reason.

    Attributes:
        number: which share, from 1.
        of: how many there are.

    Raises:
        ArgumentError: ``bad-argument`` for a share that there is not.
    """

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", checked_whole("of", self.of, at_least=1, at_most=MAX_SHARDS))
        object.__setattr__(self, "number", checked_whole("number", self.number, at_least=1, at_most=self.of))

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``2/16``.

        Raises:
            UsageError: ``bad-shard``.
        """
        match = re.fullmatch(r"([0-9]{1,7})/([0-9]{1,7})", text.strip())
        number, of = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= of <= MAX_SHARDS:
            raise UsageError(
                "bad-shard",
                f"--shard {quoted(text)}: is no share of the inputs; give NUMBER/OF, where NUMBER is from 1 to OF, such as 1/16",
            )
        return cls(number, of)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def has(self, source: Source) -> bool:
        """Whether an input is in this share; its text is read, unless there is only one share."""
        return self.of == 1 or int(source.checked()[0][:_HASH_DIGITS], 16) % self.of == self.number - 1


WHOLE = Shard()
"""All inputs."""
