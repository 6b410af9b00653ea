"""Reader and writer of .dstd files for nnU-Net v2.

dataset.json ─ "overwrite_image_reader_writer": "DeepSTDIO" ─▶ nnU-Net finds it, once installed
images ─ read_images ─▶ (c, z, y, x), spacing ─ nnU-Net ─ segmentation ─ write_seg ─▶ label map
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepstd import api
from deepstd.errors import InputError
from deepstd.extras import check_package
from deepstd.loading import SUFFIX, load
from deepstd.volume import Volume

check_package("nnunetv2", "nnU-Net v2", "deepstd.nnunet", "nnunet")

from nnunetv2 import imageio  # noqa: E402  # pyright: ignore[reportMissingImports]
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter  # noqa: E402  # pyright: ignore[reportMissingImports]

# Spacing across a single slice, as nnU-Net asks for it: larger than that within any slice.
_ACROSS = 999.0
_HOOK = "deepstd_reader_writer.py"
_HOOK_TEXT = '''"""Hook of deepstd: nnU-Net looks for readers by name in this folder alone."""

from deepstd.nnunet import DeepSTDIO

__all__ = ["DeepSTDIO"]
'''


class DeepSTDIO(BaseReaderWriter):
    """nnU-Net's reader and writer of .dstd files: images, labels and segmentations."""

    supported_file_endings = (SUFFIX,)

    def read_images(self, image_fnames: Sequence[str]) -> tuple[np.ndarray, dict[str, Any]]:
        """Read the channels of a case.

        Returns:
            real-world values, (channels, z, y, x) float32, z of length 1 for an image; and
            properties with the spacing along these axes, in millimetres.

        Raises:
            InputError: the channels differ in shape or geometry, or a scan has frames.
        """
        loaded = [load(name) for name in image_fnames]
        (first, affine), name = loaded[0], image_fnames[0]
        for other_name, (values, other) in zip(image_fnames, loaded, strict=True):
            if values.ndim > 3:
                raise InputError(f"{other_name}: has frames, which nnU-Net does not take")
            equal = other is affine or (
                other is not None and affine is not None and np.allclose(other, affine, atol=1e-3)
            )
            if values.shape != first.shape or not equal:
                raise InputError(f"{other_name}: differs from {name} in shape or geometry")
        spacing = [1.0] * first.ndim
        if affine is not None:
            spacing = [float(s) for s in np.linalg.norm(affine[:3, : first.ndim], axis=0)]
        reverse = spacing[::-1] if first.ndim == 3 else [_ACROSS, *spacing[::-1]]
        channels = [_reversed(values) for values, _ in loaded]
        properties = {"spacing": reverse, "deepstd": {"affine": affine, "axes": first.ndim}}
        return np.stack(channels).astype(np.float32), properties

    def read_seg(self, seg_fname: str) -> tuple[np.ndarray, dict[str, Any]]:
        """Read a label map, (1, z, y, x); see `read_images`."""
        return self.read_images((seg_fname,))

    def write_seg(self, seg: np.ndarray, output_fname: str, properties: dict[str, Any]) -> None:
        """Write a segmentation, (z, y, x), exactly, with the geometry of its images."""
        kept = properties["deepstd"]
        voxels = seg.T if kept["axes"] == 3 else seg[0].T
        small = voxels.astype(np.uint8 if voxels.max(initial=0) < 256 else np.uint16)
        labels = Volume(small, kept["affine"], labels=True)
        api.compress(labels, output_fname, lossless=True, overwrite=True)


def install() -> Path:
    """Make nnU-Net find `DeepSTDIO` by its name, and return the file that does.

    nnU-Net looks for the class that dataset.json names in its own folder alone. A file of three
    lines is put there; nnU-Net's commands then work as they are.

    Raises:
        InputError: the folder of nnU-Net cannot be written to.
    """
    hook = Path(imageio.__path__[0]) / _HOOK
    try:
        hook.write_text(_HOOK_TEXT, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{hook}: cannot be written ({error.strerror}). Install nnU-Net into an environment of "
            "your own"
        ) from error
    return hook


def _reversed(values: np.ndarray) -> np.ndarray:
    """Return a scan with axes (z, y, x); an image gets an axis of length 1."""
    return values.T if values.ndim == 3 else values.T[np.newaxis]
