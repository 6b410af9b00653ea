"""NIfTI headers of a scan on another grid: a subsampled or a resampled one.

header, factors ─ lengths, spacing, matrices ─▶ header; all else stays
header, affine ─ lengths, spacing, matrices ─▶ header; all else stays
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from deepstd.io import nifti, nifti_affine
from deepstd.io.cropping import moved
from deepstd.volume import SourceHeader

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

_ALIGNED = 2  # NIFTI_XFORM_ALIGNED_ANAT


def subsampled(
    source: SourceHeader, shape: tuple[int, ...], factors: Sequence[int]
) -> SourceHeader:
    """Return the header of a scan that is subsampled from its first voxel on.

    Args:
        source: header of the whole scan.
        shape: shape after subsampling.
        factors: subsampling factor of each spatial axis, an integer.

    Raises:
        InputError: the header is damaged.
    """
    header = _resized(source, shape)
    for axis, factor in enumerate(factors):
        header["pixdim"][1 + axis] *= factor
        for row in ("srow_x", "srow_y", "srow_z"):
            header[row][axis] *= factor
    return _packed(source, header)


def cropped(source: SourceHeader, shape: tuple[int, ...], spans: Sequence[range]) -> SourceHeader:
    """Return the header of a part of a scan, with its affine in sform and qform.

    Args:
        source: header of the whole scan.
        shape: shape of the whole scan.
        spans: indices along each axis, ascending and not empty.

    Raises:
        InputError: the header is damaged.
    """
    kept = tuple(map(len, spans))
    part = on_grid(source, kept, moved(nifti.affine_of(source), spans))
    if len(spans) < 4:
        return part
    header = _resized(part, kept)
    step = float(header["pixdim"][4])
    header["toffset"] = float(header["toffset"]) + step * spans[3].start
    header["pixdim"][4] = step * spans[3].step
    return _packed(part, header)


def on_grid(source: SourceHeader, shape: tuple[int, ...], affine: np.ndarray) -> SourceHeader:
    """Return the header of a scan on another grid of right angles, for both sform and qform.

    Args:
        source: header of the scan.
        shape: shape on the other grid.
        affine: voxel-to-world matrix of the other grid, 4x4, RAS+ mm.

    Raises:
        InputError: the header is damaged.
    """
    header = _resized(source, shape)
    own = affine.copy()
    own[:3] /= nifti_affine.millimetres_of(header)
    code = int(header["sform_code"]) or int(header["qform_code"]) or _ALIGNED
    header.set_sform(own, code)
    header.set_qform(own, code)
    return _packed(source, header)


def _resized(source: SourceHeader, shape: tuple[int, ...]) -> Nifti1Header:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    nifti.affine_of(source)  # raises where the header is damaged
    header_class = Nifti1Header if source.format == "nifti1" else Nifti2Header
    size = header_class.sizeof_hdr
    order = "<" if source.raw[:4] == size.to_bytes(4, "little") else ">"
    header = header_class(source.raw[:size], endianness=order, check=False)
    header["dim"][1 : 1 + len(shape)] = shape
    header["slice_code"], header["slice_start"], header["slice_end"] = 0, 0, 0
    return header


def _packed(source: SourceHeader, header: Nifti1Header) -> SourceHeader:
    tail = source.raw[header.sizeof_hdr :]
    return SourceHeader(source.format, header.binaryblock + tail)
