"""Encoder efforts: names for the user, and the searches that each of them allows.

"fast" | "normal" | "best" ─▶ Effort
"""

from __future__ import annotations

from dataclasses import dataclass

from deepstd.errors import InputError

NORMAL = "normal"


@dataclass(frozen=True)
class Effort:
    """Limits on the time that an encoder may take.

    Attributes:
        rounds: rounds of refining the quantisation targets; each takes about two encodings.
        most_refined: voxels of the largest scan that is refined; None for any.
        most_between: voxels of the largest scan whose slices may be predicted from each other;
            None for any. Such a scan takes two to three times as long as a volume, to encode and
            to decode.
        close: bundles whose estimates lie within so many dB of the best are all searched.
    """

    rounds: int
    most_refined: int | None
    most_between: int | None
    close: float

    def rounds_for(self, voxels: int) -> int:
        """Return the rounds of refinement for a scan of this number of voxels."""
        return self.rounds if _within(voxels, self.most_refined) else 0

    def between_for(self, voxels: int) -> bool:
        """Return whether a scan of this number of voxels may have predicted slices."""
        return _within(voxels, self.most_between)


def _within(voxels: int, most: int | None) -> bool:
    return most is None or voxels <= most


EFFORTS = {
    "fast": Effort(0, None, 0, 0.0),
    NORMAL: Effort(3, 1 << 22, 1 << 25, 0.1),
    "best": Effort(10, None, None, 0.5),
}


def effort_named(name: str) -> Effort:
    """Return the effort of a name.

    Raises:
        InputError: no effort has this name.
    """
    if name not in EFFORTS:
        raise InputError(f"effort must be {', '.join(EFFORTS)}, not {name!r}")
    return EFFORTS[name]
