"""The scans that a page shows, with all that is told about them.

IN.dstd ─ decode ─▶ restored ─┐
original, if given ───────────┴▶ Scene ─┬ description ─▶ JSON
                                        └ slice ─▶ bytes of restored, original, difference
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from deepstd import io
from deepstd.errors import InputError
from deepstd.inspection import AUTO, info_of, read_container
from deepstd.planes import CONVENTION, Plane, planes_of
from deepstd.progress import Progress, Show
from deepstd.sources import PathLike, Source, name_of, paths_of
from deepstd.verification import Verified, verified
from deepstd.viewer.facts import errors_of, facts_of, verdict_of
from deepstd.viewer.values import Channel, difference_of, histogram_of
from deepstd.viewer.windows import windows_of
from deepstd.volume import Volume


@dataclass(frozen=True, eq=False)
class Scene:
    """A restored scan and, if given, its original, ready to be shown slice by slice.

    Attributes:
        restored: the scan that the file restores.
        original: the scan that it was made of, or None.
        planes: planes by name.
        frames: number of frames; 1 for a scan without.
        whole: True where all real-world values are integers of 16 bits.
        description: everything but voxels, as JSON.
    """

    restored: Channel
    original: Channel | None
    planes: dict[str, Plane]
    frames: int
    whole: bool
    description: str

    def slice(self, plane: str, index: int, frame: int) -> bytes:
        """Return one slice as little-endian real-world values, row by row.

        Restored values come first. With an original, its values and restored minus original
        follow. Values are int16 and differences int32 where ``whole``, else all are float32.

        Args:
            plane: name of a plane.
            index: index of the slice along the plane's axis.
            frame: number of the frame.

        Raises:
            InputError: there is no such slice.
        """
        found = self.planes.get(plane)
        if found is None or not (0 <= index < found.count and 0 <= frame < self.frames):
            raise InputError(f"there is no slice {index} of plane {plane!r} in frame {frame}")
        restored = self.restored.slice_of(found, index, frame)
        value, error = ("<i2", "<i4") if self.whole else ("<f4", "<f4")
        parts = [restored.astype(value).tobytes()]
        if self.original is not None:
            original = self.original.slice_of(found, index, frame)
            parts.append(original.astype(value).tobytes())
            with np.errstate(invalid="ignore", over="ignore"):  # of infinities; beyond float32
                parts.append((restored - original).astype(error).tobytes())
        return b"".join(parts)


def load_scene(
    source: PathLike,
    *,
    against: Source | None = None,
    series: str | None = None,
    model: str = AUTO,
    device: str = "auto",
    lossy: bool = False,
    progress: Show | None = None,
) -> Scene:
    """Decode a .dstd file, compare it with its original if given, and describe both.

    Args:
        source: path or URL of a .dstd file, or "-" for standard input.
        against: original scan: path or URL, several DICOM paths, a volume, or an array of
            real-world values.
        series: id of the original's DICOM series, where its paths hold several.
        model: name or folder of the model bundle; "auto" finds the bundle that the file names.
        device: "auto", "cpu", "cuda" or "cuda:N".
        lossy: True to show the lossy part of a file with an exact part.
        progress: called with a sentence at each stage; None to show nothing.

    Raises:
        ContainerError: the file is damaged.
        BundleError: the bundle is not installed, or damaged.
        DeviceError: the device is not available.
        InputError: the original cannot be read, or has another shape.
    """
    told = Progress(progress)
    container = read_container(source)
    checked = verified(
        container, against=against, series=series, model=model, device=device, progress=told
    )
    shown = checked.restored if lossy or checked.exact is None else checked.exact
    told("counting grey values")
    restored = Channel.of(shown)
    original = None if checked.original is None else Channel.of(checked.original)
    channels = [restored] if original is None else [restored, original]
    whole = all(channel.whole for channel in channels)
    planes = planes_of(shown.shape, shown.affine)
    frames = shown.shape[3] if len(shown.shape) == 4 else 1
    info = info_of(container)
    exact = shown is checked.exact
    name = None if against is None else _short_name(against)
    verdict, good = verdict_of(info, checked.report, name, exact=exact)
    description = {
        "name": io.basename(container.name),
        "original": name,
        "shape": shown.shape,
        "frames": frames,
        "whole": whole,
        "unit": info.unit,
        "planes": [asdict(plane) for plane in planes],
        "convention": CONVENTION if planes[0].edges else "",
        "facts": facts_of(info),
        "errors": errors_of(info, checked.report),
        "caption": _caption(checked, exact=exact),
        "verdict": verdict,
        "good": good,
        "notes": _notes(shown, checked),
        **_distributions(restored, original, info.unit, whole=whole),
    }
    text = json.dumps(description, ensure_ascii=False, allow_nan=False)
    return Scene(restored, original, {plane.name: plane for plane in planes}, frames, whole, text)


def _short_name(against: Source) -> str:
    """Return the name of an original without its folders."""
    paths = paths_of(against)
    if len(paths) != 1:
        return name_of(against)
    return io.basename(io.location(paths[0]).rstrip("/")) or name_of(against)


def _caption(checked: Verified, *, exact: bool) -> str:
    if exact:
        return "Errors of the lossy part; the page shows the exact scan"
    return "Errors" if checked.exact is None else "Errors of the lossy part, which the page shows"


def _notes(shown: Volume, checked: Verified) -> list[str]:
    """Return the notes on the file, and those on its original, without repetition."""
    original = () if checked.original is None else checked.original.notes
    return list(dict.fromkeys((*checked.report.notes, *shown.notes, *original)))


def _distributions(
    restored: Channel, original: Channel | None, unit: str | None, *, whole: bool
) -> dict[str, Any]:
    """Return windows, histograms, and the differences where there is an original."""
    first = restored if original is None else original
    ranges = [channel.range for channel in (restored, first)]
    low, high = min(ends[0] for ends in ranges), max(ends[1] for ends in ranges)
    found: dict[str, Any] = {
        "windows": [asdict(w) for w in windows_of(first.range, first.usual_range, unit)],
        "histograms": {"restored": histogram_of(restored, low, high, whole=whole).to_dict()},
        "difference": None,
    }
    if original is not None:
        histogram = histogram_of(original, low, high, whole=whole)
        found["histograms"]["original"] = histogram.to_dict()
        errors = difference_of(original, restored, whole=whole)
        found["difference"] = {
            "histogram": errors.histogram.to_dict(),
            "largest": errors.largest,
            "usual": errors.usual,
            "where": errors.where,
        }
    return found
