"""Check of a .dstd file: decoding, and comparison with the original.

.dstd ─ decode ─▶ Volume ─┐
original, if given ───────┴ measure ─▶ metrics beside those that the file states
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from deepstd import io, preflight
from deepstd.codec.exact import same_bits
from deepstd.codec.restoring import restored
from deepstd.container import LARGEST_FIGURE, Container
from deepstd.errors import InputError
from deepstd.inspection import AUTO, error_scale_of, notes_of, quality_of, read_container
from deepstd.io import Metadata
from deepstd.quality import Quality, measure
from deepstd.reports import VerifyReport
from deepstd.sources import PathLike, Source, check_options, in_memory, load, name_of, paths_of
from deepstd.volume import Volume

# Relative: a float decoder may round a value differently on another machine.
_STATED_WITHIN = 0.02
# Grey levels that metrics may differ by: devices restore voxels to within one.
_MARGINS = {"mae": 1e-3, "max_error": 1.0}
# Files keep metrics in a part of float32, which has few digits for the smallest numbers.
_SMALLEST_METRIC = 1e-36


def verify(
    source: PathLike,
    *,
    against: Source | None = None,
    series: str | None = None,
    model: str = AUTO,
    device: str = "auto",
) -> VerifyReport:
    """Decode a .dstd file to check it, and compare the scan with its original if given.

    Args:
        source: path or URL of a .dstd file, or "-" for standard input.
        against: original scan: path or URL, several DICOM paths, a volume, or an array of
            real-world values.
        series: id of the original's DICOM series, where its paths hold several.
        model: name or folder of the model bundle; "auto" finds the bundle that the file names.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        ContainerError: the file is damaged.
        BundleError: the bundle is not installed, or damaged.
        DeviceError: the device is not available.
        InputError: the original cannot be read, has another shape, or has more samples by a second
            count of its files.
    """
    return verified(
        read_container(source), against=against, series=series, model=model, device=device
    ).report


@dataclass(frozen=True, eq=False)
class Verified:
    """A decoded file with its report, and the scans that the report compares.

    Attributes:
        report: result of the check.
        restored: scan of the lossy part of the file, or of the whole file where it has one part.
        exact: scan by both parts of a file with an exact part; None for other files.
        original: the original, if one was given.
    """

    report: VerifyReport
    restored: Volume
    exact: Volume | None
    original: Volume | None


def verified(
    container: Container,
    *,
    against: Source | None = None,
    series: str | None = None,
    model: str = AUTO,
    device: str = "auto",
    progress: Callable[[str], None] = lambda message: None,
) -> Verified:
    """Decode a parsed file and compare it as `verify` does; return the scans, too.

    Args:
        container: the parsed file.
        against, series, model, device: as for `verify`.
        progress: called with a sentence at each stage.

    Raises:
        DeepSTDError: the errors of `verify`.
    """
    preflight.check_devices(device)
    if against is not None:
        check_options(against, None, series)
    head, scale = container.head, error_scale_of(container)
    original = None
    if against is not None:
        progress(f"reading {name_of(against)}")
        original = load(against, series=series, metadata=Metadata.NONE, progress=progress)
        if original.shape != head.shape:
            raise InputError(
                f"{name_of(against)} has shape {original.shape}, the scan in {container.name} "
                f"{head.shape}: they are not the same scan"
            )
    preflight.check_memory(container.name, head.voxel_count, preflight.restoring(container), device)
    progress(f"decoding {container.name}")
    volume = restored(container, model, device, lossy=True)
    exact = restored(container, model, device) if container.exact_part is not None else None
    stated, measured, as_stated = quality_of(container), None, None
    if against is not None and original is not None:
        progress(f"comparing with {name_of(against)}")
        if not in_memory(against):
            io.check_complete(paths_of(against), volume, series)
        measured = asdict(_measured(original, volume, scale.slope))
        if stated is not None:
            step = io.largest_step(volume) * scale.slope
            as_stated = all(
                _close(measured[figure], stated[figure], margin * step, scale.slope)
                for figure, margin in _MARGINS.items()
            )
            if container.lossless and _on_one_scale(original, volume):
                as_stated = _equal(original.voxels, volume.voxels)
            if exact is not None:
                equal = not _on_one_scale(original, exact) or _equal(original.voxels, exact.voxels)
                as_stated = as_stated and equal
    report = VerifyReport(
        container.name,
        f"{head.bundle.name} {head.bundle.version}",
        stated,
        None if against is None else name_of(against),
        measured,
        as_stated,
        scale.slope,
        scale.unit,
        notes_of(container),
        container.lossless,
        exact is not None,
    )
    return Verified(report, volume, exact, original)


def _measured(original: Volume, restored: Volume, slope: float) -> Quality:
    """Return the metrics of a restored scan, with errors in real-world values.

    Args:
        original, restored: scans of the same shape.
        slope: real-world units of one stored unit.
    """
    if _on_one_scale(original, restored):
        return measure(original.voxels, restored.voxels).scaled(slope)
    # Two rescale slopes: of an array, or of a release that used one for all frames of a series.
    return measure(io.real_world(original).voxels, io.real_world(restored).voxels)


def _on_one_scale(one: Volume, other: Volume) -> bool:
    """Return True where equal voxels of two scans mean equal real-world values."""
    return io.scale_of(one.source) == io.scale_of(other.source)


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    """Return True where two arrays of one shape hold equal values; of one type, equal bits."""
    other = other.astype(other.dtype.newbyteorder(one.dtype.byteorder), copy=False)
    if one.dtype == other.dtype:
        return same_bits(one, other)
    return np.array_equal(one, other, equal_nan=True)


def _close(measured: float, stated: float, margin: float, slope: float) -> bool:
    """Return True if metrics agree to the precision of a file and the tolerance of devices."""
    if math.isnan(measured) or math.isnan(stated):
        return math.isnan(measured) and math.isnan(stated)
    if math.isinf(stated):
        return measured >= (1 - _STATED_WITHIN) * LARGEST_FIGURE * slope
    least = max(margin, _SMALLEST_METRIC * slope)
    return math.isclose(measured, stated, rel_tol=_STATED_WITHIN, abs_tol=least)
