"""How long an encoder may think: one name for the user, one place for what it means.

"fast" | "normal" | "best" ─▶ Effort
"""

from __future__ import annotations

from dataclasses import dataclass

from deepstd.errors import InputError

NORMAL = "normal"


@dataclass(frozen=True)
class Effort:
    """What an effort means.

    Attributes:
        rounds: of refining what the quantiser aims at; each takes about two encodings.
        most_refined: voxels of the largest scan that is refined; None for any.
        most_between: voxels of the largest scan whose slices may be coded between each other, which
            takes two to three times as long to code and to decode as a volume; None for any.
    """

    rounds: int
    most_refined: int | None
    most_between: int | None

    def rounds_for(self, voxels: int) -> int:
        """Rounds for a scan of so many voxels."""
        return self.rounds if _within(voxels, self.most_refined) else 0

    def between_for(self, voxels: int) -> bool:
        """Whether slices of a scan of so many voxels may be coded between each other."""
        return _within(voxels, self.most_between)


def _within(voxels: int, most: int | None) -> bool:
    return most is None or voxels <= most


EFFORTS = {
    "fast": Effort(0, None, 0),
    NORMAL: Effort(3, 1 << 22, 1 << 25),
    "best": Effort(10, None, None),
}


def effort_named(name: str) -> Effort:
    """The effort of a name; InputError for any other."""
    if name not in EFFORTS:
        raise InputError(f"effort must be {', '.join(EFFORTS)}, not {name!r}")
    return EFFORTS[name]
