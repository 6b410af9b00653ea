"""Middle slices of a scan as pictures in HTML, for notebooks.

voxels, affine ─ planes ─ middle slices ─ window ─▶ PNG data URIs in HTML
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image

from deepstd.planes import CONVENTION, IMAGE, Plane, planes_of

# Pixels along the longest side of the scan.
_LONGEST = 240
# Percentiles of the finite voxels shown as black and white.
_WINDOW = (1.0, 99.0)


@dataclass(frozen=True, eq=False)
class _Slice:
    """One slice: caption, grey values (rows, columns), size of a pixel in millimetres or voxels."""

    caption: str
    values: np.ndarray
    pixel: tuple[float, float]


def as_html(
    voxels: np.ndarray, affine: np.ndarray | None, title: str, notes: Sequence[str] = ()
) -> str:
    """Return HTML with a title, up to three middle slices of a scan, and notes.

    Args:
        voxels: stored values, shape (I, J), (I, J, K) or (I, J, K, T); the middle frame is shown.
        affine: voxel-to-world matrix, (4, 4), RAS+; None without geometry.
        title: text above the slices.
        notes: sentences below the slices.
    """
    frame = ""
    if voxels.ndim == 4:
        number = voxels.shape[3] // 2
        voxels, frame = voxels[..., number], f", frame {number}"
    planes = planes_of(voxels.shape, affine)
    slices = [_middle(plane, voxels) for plane in planes]
    window = _window(np.concatenate([found.values.ravel() for found in slices]))
    extent = max(max(_extent(found)) for found in slices)
    figures = "".join(_figure(found, frame, window, extent) for found in slices)
    told = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f'<div class="deepstd-volume"><div><code>{escape(title)}</code></div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:8px">{figures}</div>'
        + (f"<div><small>{CONVENTION}</small></div>" if planes[0].edges else "")
        + (f"<ul>{told}</ul>" if told else "")
        + "</div>"
    )


def _middle(plane: Plane, voxels: np.ndarray) -> _Slice:
    """Return the middle slice of a plane with its caption."""
    index = plane.count // 2
    caption = plane.name
    if plane.name != IMAGE:
        named_by_axis = plane.name == f"axis {plane.axis}"
        caption = (
            f"{plane.name} at {index}"
            if named_by_axis
            else f"{plane.name}, axis {plane.axis} at {index}"
        )
    return _Slice(caption, plane.slice_of(voxels, index), plane.pixel)


def _window(values: np.ndarray) -> tuple[float, float]:
    """Return the grey values shown as black and white; (0, 0) where no value is finite."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return 0.0, 0.0
    # Not interpolated: the difference of two extreme floats overflows.
    low, high = np.percentile(finite, _WINDOW, method="nearest")
    return float(low), float(high)


def _grey(values: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Return grey values as uint8, 0 for NaN."""
    low, high = window
    scale = max(abs(low), abs(high)) or 1.0
    shown = np.clip(np.nan_to_num(values.astype(np.float64), nan=low), low, high) / scale
    span = high / scale - low / scale
    return np.rint(255 * (shown - low / scale) / span if span else 0 * shown).astype(np.uint8)


def _extent(found: _Slice) -> tuple[float, float]:
    rows, columns = found.values.shape
    return rows * found.pixel[0], columns * found.pixel[1]


def _figure(found: _Slice, frame: str, window: tuple[float, float], extent: float) -> str:
    """Return the HTML of one slice, in proportion to the longest extent of all slices."""
    height, width = (max(1, round(_LONGEST * side / extent)) for side in _extent(found))
    picture = Image.fromarray(_grey(found.values, window))
    stream = io.BytesIO()
    picture.resize((width, height), Image.Resampling.BILINEAR).save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    caption = escape(found.caption + frame)
    return (
        f'<figure style="margin:0"><img src="data:image/png;base64,{data}" alt="{caption}" '
        f'width="{width}" height="{height}"><figcaption><small>{caption}</small></figcaption>'
        "</figure>"
    )
