"""Target of a file: a compression ratio, bits per voxel or bytes, a quality, or no loss at all.

ratio, bpv or bytes ─ Target ─▶ bytes that a file may have
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

from deepstd.errors import InputError, RateError
from deepstd.extras import check_scipy
from deepstd.rate.bound import ErrorBound
from deepstd.rate.effort import NORMAL
from deepstd.rate.goal import QualityGoal

LOWEST_FILL = 0.997
"""Smallest share of the target size that a file is to fill."""
# Larger requests mean no limit.
_MOST_BYTES = 1 << 62


@dataclass(frozen=True)
class Target:
    """Requested size of a file, its fidelity, or a size with the least fidelity at that size.

    At most one size and at most one of the other attributes is given, and one at least.

    Attributes:
        ratio: bytes of the stored voxels divided by bytes of the whole file.
        bpv: bits of the whole file per voxel.
        max_bytes: bytes of the whole file.
        lossless: True for a file of any size from which every voxel comes back bit for bit.
        bound: largest error of a voxel; with a size a condition on the file of that size.
        goal: least quality of the decoded scan; with a size a condition, too.
    """

    ratio: float | None = None
    bpv: float | None = None
    max_bytes: int | None = None
    lossless: bool = False
    bound: ErrorBound | None = None
    goal: QualityGoal | None = None

    def __post_init__(self) -> None:
        given = [v for v in (self.ratio, self.bpv, self.max_bytes) if v is not None]
        conditions = (self.bound is not None) + (self.goal is not None)
        if self.lossless and (given or conditions):
            raise RateError(
                "a lossless file has the size that it needs: give no size, and no other quality"
            )
        if conditions > 1:
            raise RateError("give one of max_error, min_psnr, min_ssim and mae")
        if not given and (self.lossless or conditions):
            return
        if len(given) != 1:
            raise RateError(
                "give exactly one of ratio, bpv and max_bytes, or a quality: lossless, max_error, "
                "min_psnr, min_ssim or mae"
            )
        # Not isfinite: an integer may be too large for a float.
        if not isinstance(given[0], Real) or not 0 < given[0] < math.inf:
            raise RateError(f"the requested rate must be a positive number, not {given[0]!r}")

    @property
    def sizeless(self) -> bool:
        """True where no size is given, and the file has the size that its fidelity needs."""
        return self.ratio is None and self.bpv is None and self.max_bytes is None

    @property
    def conditional(self) -> bool:
        """True where a size comes with a quality that a file of that size may miss."""
        return not self.sizeless and (self.goal is not None or self.bound is not None)

    @property
    def without_bundle(self) -> bool:
        """True for lossless files and those of bounded error and any size: they need no bundle."""
        return self.sizeless and self.goal is None

    def bytes_for(self, voxels: int, stored_bytes: int) -> int:
        """Return the largest allowed file size in bytes, at least 1; 2⁶² where none is given.

        Args:
            voxels: number of voxels of the scan.
            stored_bytes: bytes of its voxels in the stored type.
        """
        wanted: float = _MOST_BYTES if self.sizeless else self.max_bytes or 0
        if self.ratio is not None:
            wanted = stored_bytes / self.ratio
        elif self.bpv is not None:
            wanted = voxels * self.bpv / 8
        return math.floor(min(max(wanted, 1), _MOST_BYTES))


def check_protected(target: Target, *, protect: bool) -> None:
    """Raise an error where regions cannot be protected.

    Args:
        target: size or fidelity of the file.
        protect: whether regions shall get the fidelity of the rest.

    Raises:
        InputError: the file has no size.
        MissingExtraError: SciPy is not installed.
    """
    if not protect:
        return
    check_scipy("protecting regions", "protect")
    if target.sizeless:
        raise InputError(
            "protected regions take bytes of the rest, so they need a size (ratio, bpv or "
            "max_bytes)"
        )


def check_alone(target: Target, model: str, effort: str) -> None:
    """Raise an InputError where a file of given fidelity comes with a bundle or an effort.

    Args:
        target: requested size, or a lossless file.
        model: name or folder of a bundle, or "auto".
        effort: name of an effort, or "normal".
    """
    if not target.without_bundle:
        return
    kind = "a lossless file, or one of bounded error,"
    if model != "auto":
        raise InputError(f"{kind} needs no model: leave out {model!r}")
    if effort != NORMAL:
        raise InputError(f"{kind} has no effort: leave out {effort!r}")


def check_residual(target: Target, *, with_residual: bool) -> None:
    """Raise an InputError where an exact part is asked for of a file that is exact."""
    if with_residual and target.lossless:
        raise InputError("a lossless file needs no residual: leave out one of the two")


def note_on_fill(nbytes: int, allowed: int, *, exact: bool) -> str | None:
    """Return a note on a file that is smaller than requested; None where it fills the request.

    Args:
        nbytes: bytes of the file.
        allowed: requested bytes.
        exact: whether the restored voxels equal the original voxels.
    """
    if nbytes >= LOWEST_FILL * allowed:
        return None
    note = (
        f"the file has {nbytes} of the {allowed} bytes asked for ({100 * nbytes / allowed:.1f} %)"
    )
    if exact:
        return f"{note}: it needs no more, as every voxel comes back exactly"
    return f"{note}: the sizes that this scan can be coded in jump across the rest"


def in_words(nbytes: int, voxels: int, stored_bytes: int) -> str:
    """Return a text that states a size by the options that request it.

    Args:
        nbytes: bytes of a file.
        voxels: number of voxels of the scan.
        stored_bytes: bytes of its voxels in the stored type.
    """
    ratio = math.floor(100 * stored_bytes / nbytes) / 100
    bpv = math.ceil(1e4 * 8 * nbytes / voxels) / 1e4
    return f"at least {nbytes} bytes (--max-bytes {nbytes}, --ratio {ratio}, --bpv {bpv})"
