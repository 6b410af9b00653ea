"""A NIfTI header for a part of a scan's voxels.

header, every so many-th voxel ─ lengths, spacing, matrices ─▶ header; all else stays
"""

from __future__ import annotations

from collections.abc import Sequence

from deepstd.io import nifti
from deepstd.volume import SourceHeader


def subsampled(
    source: SourceHeader, shape: tuple[int, ...], factors: Sequence[int]
) -> SourceHeader:
    """The header of a scan of which every so many-th voxel is left, the first among them.

    Raises:
        InputError: the header is damaged.
    """
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    nifti.affine_of(source)  # refuses what is damaged
    header_class = Nifti1Header if source.format == "nifti1" else Nifti2Header
    size = header_class.sizeof_hdr
    order = "<" if source.raw[:4] == size.to_bytes(4, "little") else ">"
    header = header_class(source.raw[:size], endianness=order, check=False)
    header["dim"][1 : 1 + len(shape)] = shape
    header["slice_code"], header["slice_start"], header["slice_end"] = 0, 0, 0
    for axis, factor in enumerate(factors):
        header["pixdim"][1 + axis] *= factor
        for row in ("srow_x", "srow_y", "srow_z"):
            header[row][axis] *= factor
    return SourceHeader(source.format, header.binaryblock + source.raw[size:])
