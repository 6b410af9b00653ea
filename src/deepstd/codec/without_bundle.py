"""Files that need no bundle: lossless files, label maps, and scans of special values alone.

Volume ─┬ constant, special values alone ─ constant ─┬▶ .dstd file ─▶ Volume
        └ lossless, label map ─ exact ───────────────┘
"""

from __future__ import annotations

from dataclasses import replace

from deepstd.codec import constant, exact, labels
from deepstd.codec.compressed import Compressed
from deepstd.container import Beginning, parse
from deepstd.progress import Progress
from deepstd.rate.target import Target
from deepstd.volume import Volume


def is_without_bundle(container: Beginning) -> bool:
    """Return True if a file is restored without a bundle."""
    return container.exact is not None or constant.is_without_texture(container)


def is_exact(container: Beginning) -> bool:
    """Return True if every voxel of a file comes back exactly, without an exact part."""
    return is_without_bundle(container) and (container.exact is None or container.lossless)


def encode(volume: Volume, target: Target, progress: Progress) -> Compressed | None:
    """Compress a scan of special values alone, a label map, or any scan to a given fidelity.

    Other scans need a bundle: None is returned.

    Args:
        volume: scan of 2 to 4 axes.
        target: requested size or fidelity.
        progress: progress of the job.

    Raises:
        InputError: the scan's header does not fit its voxels, or the scan cannot be lossless.
        RateError: the file is larger than the target.
    """
    if not target.lossless:
        found = constant.encode(volume, target) or _labels(volume, target, progress)
        if found is None and target.bound is not None and target.sizeless:
            found = exact.encode(volume, progress, target.bound)
        return found
    exact.check_kept(volume)
    few = constant.encode(volume, target)
    if few is not None:
        restored = constant.decode(parse(few.data, "the new file"))
        # Negative zeros and the bits of NaN are no part of special values.
        if exact.same_bits(volume.voxels, restored.voxels):
            return few
    return exact.encode(volume, progress)


def _labels(volume: Volume, target: Target, progress: Progress) -> Compressed | None:
    """Compress a label map exactly, at any size; return None for any other scan."""
    if not labels.are_in(volume):
        return None
    found = exact.encode(volume, progress)
    allowed = target.bytes_for(volume.voxels.size, volume.nbytes)
    return found if len(found.data) <= allowed else replace(found, notes=(labels.NOTE,))


def decode(container: Beginning, level: int = 0) -> Volume:
    """Restore the scan of a file that needs no bundle, or a preview of it.

    Args:
        container: parsed file.
        level: 0 for the whole scan, n for every 2ⁿ-th voxel along each axis.

    Raises:
        DamagedError: a payload is malformed, or does not give what was encoded.
        InputError: the scan has fewer levels.
    """
    if container.exact is not None:
        return exact.decode(container, level)
    return constant.decode(container, level)
