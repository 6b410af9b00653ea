"""Lower bound of the size of a .dstd file, known before encoding.

shape, type, kept header ─ a file with empty textures ─▶ bytes that every file of the scan exceeds
"""

from __future__ import annotations

import numpy as np

from deepstd.container.digest import FrameChunks
from deepstd.container.head import BUNDLE_DIGEST_BYTES, COMMON_NAMES, BundleRef, Head
from deepstd.container.source_header import pack_source_header
from deepstd.container.writer import write_container
from deepstd.quality import Quality
from deepstd.volume import SourceHeader

_QUALITY = Quality(0.0, 0.0, 0.0, 0.0)


def least_bytes(source: SourceHeader, shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Return the least bytes of a .dstd file of a scan, for any bundle and any texture.

    Args:
        source: format and kept header of the source file.
        shape: shape of the scan, 2 to 4 axes.
        dtype: stored type of its voxels.

    Raises:
        UnsupportedFormatError: no file can hold such a scan.
    """
    bundle = BundleRef(COMMON_NAMES[0], "1", bytes(BUNDLE_DIGEST_BYTES))
    head = Head(source.format, dtype, shape, bundle, _QUALITY)
    header = pack_source_header(source, shape, dtype)
    frames = [FrameChunks(b"")] * head.frame_count
    return len(write_container(head, header, frames, b""))
