"""Reader of .dstd files for MONAI.

LoadImage(reader=DeepSTDReader()) ─ paths ─▶ read ─▶ scans ─ get_data ─▶ array, metadata ─ MONAI
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepstd.extras import check_package
from deepstd.inspection import AUTO
from deepstd.loading import SUFFIX, load

check_package("monai", "MONAI", "deepstd.monai", "loaders")

from monai.data.image_reader import ImageReader  # noqa: E402
from monai.utils.enums import MetaKeys, SpaceKeys  # noqa: E402

PathLike = str | os.PathLike[str]
_SPACE = 3  # axes


@dataclass(frozen=True)
class Loaded:
    """A scan as `DeepSTDReader.read` returns it.

    Attributes:
        values: real-world values, shape (I, J), (I, J, K) or (I, J, K, T).
        affine: voxel-to-world matrix, (4, 4), RAS+ in millimetres; the identity without geometry.
    """

    values: np.ndarray
    affine: np.ndarray


class DeepSTDReader(ImageReader):
    """MONAI's reader of .dstd files, with the metadata that its reader of NIfTI gives.

        LoadImaged(keys=["image", "label"], reader=DeepSTDReader(), ensure_channel_first=True)

    Args:
        model: name or folder of the model bundle; "auto" finds the bundle that a file names.
        device: "cpu", "cuda" or "cuda:N". Workers that were forked cannot use a GPU.
    """

    def __init__(self, model: str = AUTO, device: str = "cpu") -> None:
        self._model = model
        self._device = device

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Return True if all files have the suffix .dstd."""
        return all(os.fspath(name).lower().endswith(SUFFIX) for name in _paths(filename))

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> list[Loaded]:
        """Restore one or several files, which become channels of one image.

        Raises:
            ContainerError: a file is no .dstd file, or damaged.
            BundleError: the bundle of a file is not installed, or damaged.
        """
        loaded = []
        for path in _paths(data):
            values, affine = load(path, self._model, self._device)
            loaded.append(Loaded(values, np.eye(4) if affine is None else affine))
        return loaded

    def get_data(self, img: Sequence[Loaded] | Loaded) -> tuple[np.ndarray, dict[str, Any]]:
        """Return array and metadata of what `read` returned.

        Raises:
            ValueError: several files differ in shape or affine.
        """
        images = [img] if isinstance(img, Loaded) else list(img)
        first = images[0]
        for other in images[1:]:
            if other.values.shape != first.values.shape:
                raise ValueError(f"channels of shapes {first.values.shape}, {other.values.shape}")
            if not np.allclose(other.affine, first.affine):
                raise ValueError("the files of one image have different affines")
        frames = first.values.ndim > _SPACE
        meta: dict[str, Any] = {
            MetaKeys.AFFINE: first.affine.copy(),
            MetaKeys.ORIGINAL_AFFINE: first.affine.copy(),
            MetaKeys.SPATIAL_SHAPE: np.asarray(first.values.shape[:_SPACE]),
            MetaKeys.SPACE: SpaceKeys.RAS,
            # As MONAI's reader of NIfTI: frames are channels, and NaN stands for no channels.
            MetaKeys.ORIGINAL_CHANNEL_DIM: -1 if frames else float("nan"),
        }
        if len(images) == 1:
            return first.values, meta
        arrays = [image.values for image in images]
        if frames:
            return np.concatenate(arrays, axis=-1), meta
        meta[MetaKeys.ORIGINAL_CHANNEL_DIM] = 0
        return np.stack(arrays), meta


def _paths(data: Sequence[PathLike] | PathLike) -> list[PathLike]:
    return [data] if isinstance(data, str | os.PathLike) else list(data)
