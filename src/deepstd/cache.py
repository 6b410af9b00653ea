"""Cache of arrays, bounded in bytes: those used longest ago go first.

key ─ known? ─▶ value, else make ─▶ value, kept ─ too many bytes ─▶ the oldest are dropped
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

_Value = TypeVar("_Value")


class ByteCache:
    """Cache of decoded parts of a scan.

    Args:
        most: bytes to keep. The latest value is kept even where it is larger.
    """

    def __init__(self, most: int) -> None:
        self._most, self._total = most, 0
        self._held: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return self._total

    def get(
        self, key: Hashable, make: Callable[[], _Value], size: Callable[[_Value], int]
    ) -> _Value:
        """Return the value of a key, made where it is not known.

        Args:
            key: name of the value.
            make: makes the value.
            size: returns the bytes of a value.
        """
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key][0]
        value = make()
        self.put(key, value, size(value))
        return value

    def find(self, key: Hashable) -> Any:
        """Return the value of a key, or None."""
        found = self._held.get(key)
        if found is None:
            return None
        self._held.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, value: Any, nbytes: int) -> None:
        """Keep a value in place of any other of its key."""
        _, before = self._held.pop(key, (None, 0))
        self._held[key] = value, nbytes
        self._total += nbytes - before
        while self._total > self._most and len(self._held) > 1:
            _, (_, dropped) = self._held.popitem(last=False)
            self._total -= dropped

    def clear(self) -> None:
        """Drop all values."""
        self._held.clear()
        self._total = 0
