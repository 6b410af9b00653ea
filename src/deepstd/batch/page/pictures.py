"""Small pictures of compressed scans, decoded from their coarse levels.

.dstd ─ first part ─ preview at 2⁻ⁿ ─ middle slice ─▶ PNG data URL
"""

from __future__ import annotations

import base64
import math
from pathlib import Path
from typing import TYPE_CHECKING

from deepstd.batch.models import model_for
from deepstd.codec.restoring import restored
from deepstd.codec.without_bundle import is_without_bundle
from deepstd.errors import InputError
from deepstd.inspection import AUTO, bundle_for, read_container, read_first_levels
from deepstd.slice_images import as_picture

if TYPE_CHECKING:
    from deepstd.codec.codec import Codec
    from deepstd.container import Beginning, BundleRef
    from deepstd.volume import Volume

_LONGEST = 128  # pixels
# Voxels of files without coarse levels (lossless ones) that are decoded for the pictures of a page:
# about a minute of one core.
_MOST_EXACT = 1 << 26
_DEVICE = "cpu"


class Pictures:
    """Maker of pictures, with the bundles of the files so far.

    Args:
        model: bundle for the files that were written with it; "auto" to find each.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._codecs: dict[BundleRef, Codec] = {}
        self._exact_left = _MOST_EXACT

    def of(self, path: Path) -> str:
        """Return the picture of a file as a PNG data URL, or "" where there is none.

        A picture is no result, so nothing that goes wrong with one ends a batch.
        """
        try:
            volume = self._preview(path)
            if volume is None:
                return ""
            data = as_picture(volume.voxels, volume.affine, _LONGEST)
        except Exception:
            return ""
        return "data:image/png;base64," + base64.b64encode(data).decode("ascii")

    def _preview(self, path: Path) -> Volume | None:
        beginning = read_first_levels(path)
        head = beginning.head
        level = max(0, math.ceil(math.log2(max(*head.shape[:3], 1) / _LONGEST)))
        if is_without_bundle(beginning):
            self._exact_left -= head.voxel_count
            if self._exact_left < 0:
                return None
            return restored(read_container(path), AUTO, _DEVICE, lossy=True)
        codec = self._codec(beginning)
        while level > 0:
            try:
                return codec.preview(beginning, level)
            except InputError:  # the scan has fewer levels
                level -= 1
        return codec.decode(read_container(path), lossy=True)

    def _codec(self, beginning: Beginning) -> Codec:
        reference = beginning.head.bundle
        if reference not in self._codecs:
            from deepstd.codec.codec import Codec

            self._codecs[reference] = Codec(
                bundle_for(beginning, model_for(beginning, self._model)), _DEVICE
            )
        return self._codecs[reference]
