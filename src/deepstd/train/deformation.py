"""Augmentation of crops by random deformations.

    random Gaussian primitives ─ weighted mean of translations ─ weaken until no folding ─▶ field
    scan, field, window ─ cubic interpolation ─▶ crop; template, coordinates ─ linear ─▶ likewise

One field serves the next ten scans (paper, "Data augmentation and knowledge distillation"). Fields
are those of Gaussian primitives (Li et al. 2024, the paper's ref. 61): each has a centre, a radius
and a translation, and a point moves by the mean of the translations, weighted by
exp(−d²/2r²)/r^ndim. The warped template and its coordinates move with the scan, as they would for a
patient of that shape.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from deepstd.resampling import resample
from deepstd.texture.networks.conditioning import TensorConditioning
from deepstd.train.data import Example

STRENGTH = 0.03
"""Strength of `deepstd train --augment`."""
_SCANS_A_FIELD = 10
_PRIMITIVES = 12
_RADII = (0.12, 0.35)  # of the longest side
_DETERMINANTS = (0.4, 2.5)  # least and largest change of volume
_WEAKER = 0.85  # factor on a field whose determinants are beyond
_CHECKED = 17  # points along each axis where the determinants are computed
_EVERY = 3  # voxels between the points of a crop where a field is computed
# Voxels around a patch: the cubic spline's memory of them is below 1e-5.
_MARGIN = 9


@dataclass(frozen=True)
class GaussianField:
    """Deformation field of Gaussian primitives on the cube −0.5 … 0.5, the scan's longest side.

    Attributes:
        centres: (n, ndim).
        radii: (n,).
        translations: (n, ndim).
        shift: (ndim,) subtracted from every displacement.
    """

    centres: np.ndarray
    radii: np.ndarray
    translations: np.ndarray
    shift: np.ndarray

    @staticmethod
    def draw(ndim: int, strength: float, random: np.random.Generator) -> GaussianField:
        """Draw a field without folding, and without a mean displacement.

        Args:
            ndim: number of axes.
            strength: largest root mean square of the displacement, in longest sides. A field that
                would fold, or change a volume more than 2.5 times, is weaker.
            random: source of the draws.
        """
        centres = random.uniform(-0.5, 0.5, (_PRIMITIVES, ndim))
        low, high = np.log(_RADII)
        radii = np.exp(random.uniform(low, high, _PRIMITIVES))
        translations = random.standard_normal((_PRIMITIVES, ndim))
        field = GaussianField(centres, radii, translations, np.zeros(ndim))
        points = _cube(ndim)
        moved = field.displacements(points)
        shift = moved.mean(0)
        spread = float(np.sqrt(np.square(moved - shift).sum(1).mean()))
        factor = strength * float(random.random()) / max(spread, 1e-9)
        field = GaussianField(centres, radii, factor * translations, factor * shift)
        low, high = _DETERMINANTS
        while True:
            determinants = field.determinants(points)
            if low <= determinants.min() and determinants.max() <= high:
                return field
            field = replace(
                field, translations=_WEAKER * field.translations, shift=_WEAKER * field.shift
            )

    def displacements(self, points: np.ndarray) -> np.ndarray:
        """Return the displacements of points (m, ndim), in longest sides."""
        return self._weights(points) @ self.translations - self.shift

    def determinants(self, points: np.ndarray) -> np.ndarray:
        """Return the Jacobian determinants of the deformation at points (m, ndim)."""
        weights = self._weights(points)
        slopes = (self.centres - points[:, None]) / np.square(self.radii)[:, None]
        slopes = weights[..., None] * (slopes - np.einsum("mn,mnd->md", weights, slopes)[:, None])
        gradient = np.einsum("mnd,nc->mcd", slopes, self.translations)
        return np.linalg.det(np.eye(points.shape[1]) + gradient)

    def _weights(self, points: np.ndarray) -> np.ndarray:
        """Return the normalised weights of the primitives at points, (m, n)."""
        squares = np.square(points[:, None] - self.centres).sum(-1)
        logs = -squares / (2 * np.square(self.radii)) - points.shape[1] * np.log(self.radii)
        weights = np.exp(logs - logs.max(1, keepdims=True))
        return weights / weights.sum(1, keepdims=True)


class Deformations:
    """Random deformations of training scans, a new one for every ten.

    Args:
        strength: largest root mean square of the displacement, in longest sides of the scan.
        random: source of the draws.
    """

    def __init__(self, strength: float, random: np.random.Generator) -> None:
        self._strength, self._random = strength, random
        self._field: GaussianField | None = None
        self._left = 0

    def field(self, ndim: int) -> GaussianField:
        """Return the field of the next scan."""
        if self._field is None or not self._left or self._field.centres.shape[1] != ndim:
            self._field = GaussianField.draw(ndim, self._strength, self._random)
            self._left = _SCANS_A_FIELD
        self._left -= 1
        return self._field

    def crop(self, example: Example, window: tuple[slice, ...]) -> Example:
        """Return a window of an example after the deformation of the next scan.

        Args:
            example: whole scan.
            window: slice along each axis; values from around it move in.
        """
        places = _moved(self.field(len(window)), example, window)
        around = tuple(
            slice(max(int(p.min()) - _MARGIN, 0), min(int(p.max()) + _MARGIN + 2, n))
            for p, n in zip(places, example.shape, strict=True)
        )
        inside = places - np.array([s.start for s in around]).reshape(-1, *[1] * len(around))
        here = (..., *around)
        values = torch.from_numpy(_cubic(example.values[here][0, 0].cpu().numpy(), inside))
        values = values[None, None].to(example.values.device)
        conditioning = example.conditioning
        if conditioning is not None:
            moved = torch.from_numpy(inside.astype(np.float32)).movedim(0, -1)[None]
            template, coordinates = (
                resample(part[here].float(), moved.to(part.device)).round() for part in conditioning
            )
            conditioning = TensorConditioning(template.int(), coordinates.to(torch.int16))
        return replace(example, values=values, conditioning=conditioning)


def _moved(field: GaussianField, example: Example, window: tuple[slice, ...]) -> np.ndarray:
    """Return where each voxel of a window comes from, (ndim, *window) in voxels."""
    sizes = np.exp2(np.array(example.coarse) / 2)  # codes are half octaves
    shape = np.array(example.shape)
    longest = float((sizes * shape).max())
    lengths = [part.stop - part.start for part in window]
    # The field is smooth: it is computed on a coarser grid and interpolated.
    knots = [np.linspace(0, n - 1, max(2, -(-n // _EVERY))) for n in lengths]
    starts = np.array([part.start for part in window])
    coarse = np.stack(np.meshgrid(*knots, indexing="ij"), -1) + starts
    points = (coarse - (shape - 1) / 2) * sizes / longest
    moves = field.displacements(points.reshape(-1, len(window))).reshape(points.shape)
    ends = torch.from_numpy(np.moveaxis(coarse + moves * longest / sizes, -1, 0).copy())
    mode = {2: "bilinear", 3: "trilinear"}[len(window)]
    places = functional.interpolate(ends[None], lengths, mode=mode, align_corners=True)[0].numpy()
    last = (shape - 1).reshape(-1, *[1] * len(window))
    return np.clip(places, 0, last)


def _cubic(patch: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Interpolate a patch by cubic splines, and keep the range of its values."""
    found = ndimage.map_coordinates(patch, places, np.float32, order=3, mode="nearest")
    return np.clip(found, patch.min(), patch.max())


def _cube(ndim: int) -> np.ndarray:
    axes = np.meshgrid(*[np.linspace(-0.5, 0.5, _CHECKED)] * ndim, indexing="ij")
    return np.stack(axes, -1).reshape(-1, ndim)
