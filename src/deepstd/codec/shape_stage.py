"""Shape stage of one frame: registration, the coded field, and what a decoder gets of it.

values ─ register ─▶ field ─ encode ─▶ payload ─ decode ─▶ warped template, coordinates
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepstd.codec.frames import as_single
from deepstd.codec.model import Model
from deepstd.codec.orientation import advantage
from deepstd.conditioning import Conditioning
from deepstd.container import FrameChunks
from deepstd.errors import DamagedError, GeometryError
from deepstd.shape.codec import decode_field, encode_field
from deepstd.shape.conditioning import condition_on
from deepstd.shape.register import ShapeReport, register


@dataclass(frozen=True)
class FrameShape:
    """Shape part of one frame.

    Attributes:
        conditioning: warped template and coordinates as decoded, or None without a template.
        payload: coded deformation field, or None.
        report: report of the registration, or None.
        upright: likeness to the template less that to it turned, before the registration, or None.
    """

    conditioning: Conditioning | None
    payload: bytes | None
    report: ShapeReport | None
    upright: float | None = None


def encode_shape(
    model: Model, values: np.ndarray, affine: np.ndarray | None, *, field: bool
) -> FrameShape:
    """Code a deformation field if ``field``; return the conditioning that a decoder gets."""
    known = model.shape_model
    if known is None:
        return FrameShape(None, None, None)
    payload, code, report, upright = None, None, None, None
    if field:
        unmoved = condition_on(known, None, values.shape, affine, model.workers).template
        upright = advantage(unmoved.reshape(values.shape), values)
        del unmoved
        tables = model.networks[known.ndim].tables
        fitted, report = register(as_single(values), affine, known)
        payload = encode_field(fitted, known, tables)
        code = decode_field(payload, known, tables)
    conditioning = condition_on(known, code, values.shape, affine, model.workers)
    return FrameShape(conditioning, payload, report, upright)


def decode_shape(
    model: Model, chunks: FrameChunks, shape: tuple[int, ...], affine: np.ndarray | None
) -> Conditioning | None:
    """Decode the field of a frame, and return the conditioning of the frame's texture.

    Args:
        model: networks and template of the bundle.
        chunks: coded parts of the frame.
        shape: voxels along each axis.
        affine: voxel-to-world matrix, (4, 4), or None.

    Returns:
        warped template and coordinates; None for a bundle without a template.

    Raises:
        DamagedError: the field is malformed, or does not fit the bundle or the scan.
    """
    known = model.shape_model
    if known is None:
        if chunks.shape is not None:
            raise DamagedError("the file has a deformation field, its bundle no template")
        return None
    code = None
    if chunks.shape is not None:
        code = decode_field(chunks.shape, known, model.networks[known.ndim].tables)
    try:
        return condition_on(known, code, shape, affine, model.workers)
    except GeometryError as error:
        raise DamagedError(f"the scan's geometry is damaged: {error}") from error
