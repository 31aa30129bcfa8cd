"""Pools of memory: buffers that are given back are lent again, and all of them together stay within a budget."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from bandrt.engine.plan.device import OutOfDeviceMemoryError

SMALLEST = 4096
"""Bytes of the smallest buffer."""


class _Closable(Protocol):
    @property
    def n_bytes(self) -> int: ...

    def close(self) -> None: ...


Buffer = TypeVar("Buffer", bound=_Closable)


class Pool(Generic[Buffer]):
    """Lends buffers of a few sizes, four for each doubling, so that what one shape gives back fits another."""

    def __init__(self, allocate: Callable[[int], Buffer], *, budget: int | None = None) -> None:
        """Start empty.

        Args:
            allocate: makes a buffer of so many bytes, or raises `OutOfDeviceMemoryError`.
            budget: bytes that the pool holds at most, lent or not; None: as many as there are.
        """
        self._allocate = allocate
        self._budget = budget
        self._free: dict[int, list[Buffer]] = defaultdict(list)
        self.n_bytes = 0
        """Bytes that the pool holds, lent or not."""

    def take(self, n_bytes: int) -> Buffer:
        """Borrow a buffer of at least so many bytes.

        Raises:
            OutOfDeviceMemoryError: the budget, or the memory itself, does not have them, even after all that is not lent was freed.
        """
        size = rounded(n_bytes)
        if self._free[size]:
            return self._free[size].pop()
        if self._budget is not None and self.n_bytes + size > self._budget:
            self.trim()
            if self.n_bytes + size > self._budget:
                raise OutOfDeviceMemoryError(f"{size} bytes are needed, {self.n_bytes} of {self._budget} are taken")
        try:
            buffer = self._allocate(size)
        except OutOfDeviceMemoryError:
            self.trim()
            buffer = self._allocate(size)
        self.n_bytes += size
        return buffer

    def give_back(self, buffer: Buffer) -> None:
        """End a loan; nothing may be on its way to or from the buffer."""
        self._free[buffer.n_bytes].append(buffer)

    def trim(self) -> int:
        """Free what is not lent, and say how many bytes that were."""
        before = self.n_bytes
        for buffers in self._free.values():
            while buffers:
                buffer = buffers.pop()
                self.n_bytes -= buffer.n_bytes
                buffer.close()
        return before - self.n_bytes


def rounded(n_bytes: int) -> int:
    """The size of the buffer that holds so many bytes: at most a quarter more."""
    step = max(SMALLEST, 1 << max(0, (n_bytes - 1).bit_length() - 3))
    return max(1, -(-n_bytes // step)) * step


class Shared(Generic[Buffer]):
    """One buffer for all who use it in turn, replaced by a larger one when someone needs more."""

    def __init__(self, pool: Pool[Buffer]) -> None:
        self._pool = pool
        self._users: list[tuple[Buffer, int]] = []
        """Every buffer that has users, with their number; the newest, which is the largest, last."""

    def take(self, n_bytes: int) -> Buffer:
        """Use a buffer of at least so many bytes, together with others.

        Raises:
            OutOfDeviceMemoryError: as `Pool.take`.
        """
        if self._users and self._users[-1][0].n_bytes >= n_bytes:
            buffer, users = self._users.pop()
        else:
            buffer, users = self._pool.take(n_bytes), 0
        self._users.append((buffer, users + 1))
        return buffer

    def give_back(self, buffer: Buffer) -> None:
        """End one use."""
        [place] = [index for index, (one, _) in enumerate(self._users) if one is buffer]
        users = self._users[place][1] - 1
        if users:
            self._users[place] = (buffer, users)
        else:
            del self._users[place]
            self._pool.give_back(buffer)
