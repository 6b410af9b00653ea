"""Parts of a batch (shards) for separate runs, on one machine or on many.

"2/4" ─▶ Shard ─ hash of a scan's name ─▶ in this part or not
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from deepstd.errors import InputError

_SHARD = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``count``, counted from 1; every name is in exactly one part."""

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise InputError(f"there is no part {self.index} of {self.count}")

    @staticmethod
    def of(text: str) -> Shard:
        """Parse a text such as "2/4".

        Raises:
            InputError: the text names no part.
        """
        match = _SHARD.fullmatch(text.strip())
        if match is None:
            raise InputError(f"{text!r} is not a part such as 2/4")
        return Shard(int(match[1]), int(match[2]))

    def holds(self, name: str) -> bool:
        """Return True where a scan is in this part; depends on its name alone."""
        import hashlib  # not at the top: every command imports this module

        digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1

    @property
    def label(self) -> str:
        """Suffix for names of files; empty where there is only one part."""
        return "" if self.count == 1 else f"-{self.index}-of-{self.count}"
