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
        most_voxels: of a scan that is refined; None for any.
    """

    rounds: int
    most_voxels: int | None

    def rounds_for(self, voxels: int) -> int:
        """Rounds for a scan of so many voxels."""
        fits = self.most_voxels is None or voxels <= self.most_voxels
        return self.rounds if fits else 0


EFFORTS = {"fast": Effort(0, None), NORMAL: Effort(3, 1 << 22), "best": Effort(10, None)}


def effort_named(name: str) -> Effort:
    """The effort of a name; InputError for any other."""
    if name not in EFFORTS:
        raise InputError(f"effort must be {', '.join(EFFORTS)}, not {name!r}")
    return EFFORTS[name]
