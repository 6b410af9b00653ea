"""Parts of a batch that separate runs do, on one machine or on many.

"2/4" ─▶ Shard ─ hash of a scan's name ─▶ in it or not
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from deepstd.errors import InputError

_SHARD = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``count``, counted from 1; every name is in exactly one of them."""

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise InputError(f"there is no part {self.index} of {self.count}")

    @staticmethod
    def of(text: str) -> Shard:
        """The part that a text such as "2/4" names.

        Raises:
            InputError: it names none.
        """
        match = _SHARD.fullmatch(text.strip())
        if match is None:
            raise InputError(f"{text!r} is not a part such as 2/4")
        return Shard(int(match[1]), int(match[2]))

    def holds(self, name: str) -> bool:
        """Whether a scan of that name is in this part, whatever other scans there are."""
        import hashlib  # not at the top, as every command imports this module

        digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1

    @property
    def label(self) -> str:
        """For names of files: empty where there is only one part."""
        return "" if self.count == 1 else f"-{self.index}-of-{self.count}"
