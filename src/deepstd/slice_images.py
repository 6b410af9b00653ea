"""Middle slices of a scan as pictures in HTML, for notebooks.

voxels, affine ─ nearest anatomical axes ─ middle slices ─ window ─▶ PNG data URIs in HTML

With an affine, slices are axial, coronal and sagittal in the radiological convention: the patient's
right is on the left, anterior or superior is up. Without an affine, slices follow the axes of the
array, the first axis downwards.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from nibabel.orientations import apply_orientation, io_orientation
from PIL import Image

# Pixels along the longest side of the scan.
_LONGEST = 240
# Percentiles of the finite voxels shown as black and white.
_WINDOW = (1.0, 99.0)
_PLANES = ("sagittal", "coronal", "axial")  # by the RAS axis that the plane is across
_CONVENTION = "radiological convention: the patient's right is on the left"


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
    oriented = _oriented(voxels, affine)
    slices = oriented or _slices_of_array(voxels)
    # A plane with an axis of length one shows a line; an image is the one plane without.
    planes = [found for found in slices if min(found.values.shape) > 1] or slices[-1:]
    window = _window(np.concatenate([found.values.ravel() for found in planes]))
    extent = max(max(_extent(found)) for found in planes)
    figures = "".join(_figure(found, frame, window, extent) for found in planes)
    told = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f'<div class="deepstd-volume"><div><code>{escape(title)}</code></div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:8px">{figures}</div>'
        + (f"<div><small>{_CONVENTION}</small></div>" if oriented else "")
        + (f"<ul>{told}</ul>" if told else "")
        + "</div>"
    )


def as_picture(voxels: np.ndarray, affine: np.ndarray | None, longest: int) -> bytes:
    """Return the middle slice of a scan as a grey PNG, of the plane with the most voxels.

    Args:
        voxels: stored values, shape (I, J), (I, J, K) or (I, J, K, T); the middle frame is shown.
        affine: voxel-to-world matrix, (4, 4), RAS+; None without geometry.
        longest: pixels of the longer side.
    """
    if voxels.ndim == 4:
        voxels = voxels[..., voxels.shape[3] // 2]
    planes = _oriented(voxels, affine) or _slices_of_array(voxels)
    found = max(planes, key=lambda plane: plane.values.size)
    stream = io.BytesIO()
    _image(found, _window(found.values), max(_extent(found)), longest).save(stream, "PNG")
    return stream.getvalue()


def _oriented(voxels: np.ndarray, affine: np.ndarray | None) -> list[_Slice]:
    """Return the axial, coronal and sagittal slices; none where the affine has no directions."""
    if affine is None:
        return []
    with np.errstate(all="ignore"):  # spacings whose squares overflow have no direction
        orientation = io_orientation(affine)
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(orientation).all() and np.isfinite(spacing).all()):
        return []
    cube = voxels.reshape(*voxels.shape, *[1] * (3 - voxels.ndim))
    ras = apply_orientation(cube, orientation)
    axis_of = {int(world): axis for axis, (world, _) in enumerate(orientation)}
    slices = []
    for world in (2, 1, 0):
        axis = axis_of[world]
        index = cube.shape[axis] // 2
        there = index if orientation[axis, 1] > 0 else cube.shape[axis] - 1 - index
        # Columns run from right to left or from anterior to posterior, rows from the top down.
        values = np.take(ras, there, axis=world)[::-1, ::-1].T
        across, down = (float(spacing[axis_of[w]]) for w in (0, 1, 2) if w != world)
        caption = f"{_PLANES[world]}, axis {axis} at {index}"
        slices.append(_Slice(caption, values, (down, across)))
    return slices


def _slices_of_array(voxels: np.ndarray) -> list[_Slice]:
    """Return a slice across each axis of an array of 3 axes, or the image of 2 axes."""
    if voxels.ndim == 2:
        return [_Slice("image", voxels, (1.0, 1.0))]
    slices = []
    for axis in (2, 1, 0):
        index = voxels.shape[axis] // 2
        values = np.take(voxels, index, axis=axis)
        slices.append(_Slice(f"axis {axis} at {index}", values, (1.0, 1.0)))
    return slices


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


def _image(found: _Slice, window: tuple[float, float], extent: float, longest: int) -> Image.Image:
    """Return a slice as an image, where ``longest`` pixels show ``extent``."""
    height, width = (max(1, round(longest * side / extent)) for side in _extent(found))
    picture = Image.fromarray(_grey(found.values, window))
    return picture.resize((width, height), Image.Resampling.BILINEAR)


def _figure(found: _Slice, frame: str, window: tuple[float, float], extent: float) -> str:
    """Return the HTML of one slice, in proportion to the longest extent of all slices."""
    picture = _image(found, window, extent, _LONGEST)
    width, height = picture.size
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    caption = escape(found.caption + frame)
    return (
        f'<figure style="margin:0"><img src="data:image/png;base64,{data}" alt="{caption}" '
        f'width="{width}" height="{height}"><figcaption><small>{caption}</small></figcaption>'
        "</figure>"
    )
