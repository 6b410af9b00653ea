"""Slices as pictures: grey values, errors, zooms, and segmentation overlays.

slice ─ radiological orientation, window ─▶ 8 bits ─ PNG ─▶ "data:image/png;base64,…"
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from deepstd.errors import InputError
from deepstd.evaluate.view import View

_LONGEST_SIDE = 640  # pixels
_WINDOW_PERCENTILES = (0.5, 99.5)
_ERROR_PERCENTILE = 99.5
_BOTH, _ADDED, _LOST = (86, 180, 233), (230, 159, 0), (213, 60, 120)
# Agreement is faint, so that anatomy and differences stay visible.
_OPACITY = {_BOTH: 0.3, _ADDED: 0.65, _LOST: 0.65}
# Dark blue (too low) over white (no error) to dark red (too high); safe for colour-blind readers.
_ERROR_STOPS = np.array(
    [(5, 48, 97), (67, 147, 195), (247, 247, 247), (244, 165, 130), (103, 0, 31)], float
)


@dataclass(frozen=True)
class Hanging:
    """Orientation of a slice (i, j) on the screen.

    Attributes:
        is_image: True where rows are along i already, as in a radiograph.
        flip_i, flip_j: True where the axis runs against the direction of the screen.
        aspect: height of a voxel divided by its width.
    """

    is_image: bool
    flip_i: bool = False
    flip_j: bool = False
    aspect: float = 1.0

    @staticmethod
    def of(affine: np.ndarray, is_image: bool) -> Hanging:
        """Choose the radiological orientation: patient's right on the left, front or head on top.

        Args:
            affine: 4x4 voxel-to-world matrix in RAS, or empty for none.
            is_image: True for a scan of 2 axes without geometry.
        """
        if affine.shape != (4, 4) or is_image:
            return Hanging(is_image)
        along_i, along_j = affine[:3, 0], affine[:3, 1]
        towards_right = float(along_i[np.abs(along_i).argmax()]) > 0
        towards_front = float(along_j[np.abs(along_j).argmax()]) > 0
        sizes = np.linalg.norm(affine[:3, :2], axis=0)
        aspect = float(sizes[1] / sizes[0]) if (sizes > 0).all() else 1.0
        return Hanging(False, towards_right, towards_front, aspect)

    def place(self, view: View, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
        """Return left, top, width and height of a view's square, in percent of the shown slice."""
        marked = np.zeros(shape, bool)
        marked[view.i : view.i + view.size, view.j : view.j + view.size] = True
        rows, columns = (np.flatnonzero(self.turn(marked).any(axis=a)) for a in (1, 0))
        height, width = self.turn(marked).shape
        return (
            100 * int(columns[0]) / width,
            100 * int(rows[0]) / height,
            100 * len(columns) / width,
            100 * len(rows) / height,
        )

    def turn(self, picture: np.ndarray) -> np.ndarray:
        """Turn a slice (i, j, …) to rows and columns of the screen."""
        turned = picture if self.is_image else np.swapaxes(picture, 0, 1)
        if self.flip_j:
            turned = turned[::-1]
        return turned[:, ::-1] if self.flip_i else turned


@dataclass(frozen=True)
class Window:
    """Window of grey values, from black (``low``) to white (``high``)."""

    low: float
    high: float

    @staticmethod
    def of(part: np.ndarray) -> Window:
        """Return the window from the 0.5 to the 99.5 percentile of a slice."""
        finite = part[np.isfinite(part)]
        if not finite.size:
            return Window(0.0, 1.0)
        low, high = np.percentile(finite, _WINDOW_PERCENTILES)
        return Window(float(low), float(high) if high > low else float(low) + 1)


def grey(part: np.ndarray, window: Window, hanging: Hanging) -> str:
    """Return a slice as a PNG data URL."""
    return _png(hanging.turn(_levels(part, window)), hanging)


def zoom(part: np.ndarray, window: Window, hanging: Hanging, view: View) -> str:
    """Return the square of a view as a PNG data URL."""
    square = part[view.i : view.i + view.size, view.j : view.j + view.size]
    return grey(square, window, hanging)


def error(original: np.ndarray, restored: np.ndarray, largest: float, hanging: Hanging) -> str:
    """Return restored − original as a PNG data URL: blue too low, red too high, to ±largest."""
    difference = np.nan_to_num(restored.astype(np.float64) - original.astype(np.float64))
    return _png(hanging.turn(_error_colours(difference / largest)), hanging)


def error_key() -> str:
    """Return the colour scale of error pictures, negative errors on the left."""
    return _png(_error_colours(np.tile(np.linspace(-1, 1, 255), (40, 1))), Hanging(True))


def error_scale(original: np.ndarray, restored: Sequence[np.ndarray]) -> float:
    """Return the common colour scale for the error pictures of one slice.

    It is the median over codecs of the 99.5 percentile of |error|: with a maximum, one failing
    codec would make the others look perfect.
    """
    errors = [np.abs(original.astype(np.float64) - r.astype(np.float64)) for r in restored]
    largest = [float(np.nanpercentile(error, _ERROR_PERCENTILE)) for error in errors]
    return max(float(np.median(largest)), 1e-12)


def overlay(part: np.ndarray, before: np.ndarray, after: np.ndarray, hanging: Hanging) -> str:
    """Return a slice with agreement, false positives and false negatives, as a PNG data URL.

    Args:
        part: slice of the original.
        before: labels found on the original, 0 for background.
        after: labels found on the restored scan, 0 for background.
        hanging: orientation of the slice.

    Raises:
        InputError: the shapes differ.
    """
    if not part.shape == before.shape == after.shape:
        raise InputError(
            f"a slice of shape {part.shape} cannot show labels of shapes {before.shape} and "
            f"{after.shape}"
        )
    colours = np.repeat(_levels(part, Window.of(part))[..., None], 3, axis=-1).astype(np.float64)
    same = (before == after) & (before > 0)
    added = (after > 0) & (after != before)
    lost = (before > 0) & (after != before) & ~added
    for mask, colour in ((same, _BOTH), (added, _ADDED), (lost, _LOST)):
        opacity = _OPACITY[colour]
        colours[mask] = (1 - opacity) * colours[mask] + opacity * np.array(colour)
    return _png(hanging.turn(colours.astype(np.uint8)), hanging)


def _levels(part: np.ndarray, window: Window) -> np.ndarray:
    values = np.nan_to_num(part.astype(np.float64), nan=window.low)
    share = np.clip((values - window.low) / (window.high - window.low), 0, 1)
    return (255 * share).astype(np.uint8)


def _error_colours(share: np.ndarray) -> np.ndarray:
    place = (np.clip(share, -1, 1) + 1) / 2 * (len(_ERROR_STOPS) - 1)
    stops = np.arange(len(_ERROR_STOPS))
    channels = [np.interp(place, stops, _ERROR_STOPS[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def _png(colours: np.ndarray, hanging: Hanging) -> str:
    image = Image.fromarray(np.ascontiguousarray(colours))
    width, height = image.width, image.height * hanging.aspect
    # Only large pictures are resized here; the page enlarges small ones with visible voxels.
    factor = min(1.0, _LONGEST_SIDE / max(width, height))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if size != image.size:
        kind = Image.Resampling.NEAREST if factor == 1 else Image.Resampling.LANCZOS
        image = image.resize(size, kind)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
