"""NIfTI headers without the parts that may identify a patient.

header ─ free text blanked, extensions and bytes after the voxels left out ─▶ header
"""

from __future__ import annotations

import struct
from dataclasses import replace

from deepstd.volume import SourceHeader, Volume

# Byte ranges of the free text: db_name, descrip, aux_file, intent_name (NIfTI-1: data_type, too).
_TEXT = {
    "nifti1": ((4, 14), (14, 32), (148, 228), (228, 252), (328, 344)),
    "nifti2": ((240, 320), (320, 344), (508, 524)),
}
_SIZE = {"nifti1": 348, "nifti2": 540}
_NO_EXTENSIONS = bytes(4)


def without_text(volume: Volume) -> Volume:
    """Return the scan with a NIfTI header that holds no free text and no extension."""
    kind = volume.source.format
    header = bytearray(volume.source.raw[: _SIZE[kind]])
    for first, end in _TEXT[kind]:
        header[first:end] = bytes(end - first)
    order = "<" if header[:4] == _SIZE[kind].to_bytes(4, "little") else ">"
    offset, place = ("f", 108) if kind == "nifti1" else ("q", 168)
    struct.pack_into(order + offset, header, place, _SIZE[kind] + len(_NO_EXTENSIONS))
    raw = bytes(header) + _NO_EXTENSIONS
    return replace(volume, source=SourceHeader(kind, raw))
