"""OME-Zarr pyramid of a compressed scan: each resolution from a level of the .dstd file.

    .dstd file ─ decompress(level=n) ─▶ voxels, affine ─ axes reversed ─▶ array "n" (t, z, y, x)
    affines ─▶ scale and translation of each array ─▶ metadata of OME-NGFF 0.5

A level keeps the first voxel of every 2, 4 … where it is (`texture.wavelet.preview`). The arrays
therefore share one translation, and only their scales differ. Pyramids of averaged blocks would
begin half a voxel later.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from deepstd import api, io
from deepstd.errors import OR_REPLACE, InputError, OutputExistsError
from deepstd.inspection import AUTO, read_container
from deepstd.io.headers import frames_of
from deepstd.progress import Progress, Show
from deepstd.sources import PathLike, apart
from deepstd.volume import Volume
from deepstd.zarr.codec import DeepSTDCodec

_VERSION = "0.5"
_SPACE = ("x", "y", "z")
_METADATA = "zarr.json"
# Sizes along x, y and z of the chunks, small enough for a viewer that shows one plane.
CHUNK = 64
_MOST_CHUNK = 1024


@dataclass(frozen=True)
class Level:
    """One resolution of a pyramid, axes in the order of the array: (t, z, y, x), or the last two.

    Attributes:
        path: name of the array in the group.
        shape: shape of the array.
        scale: distance between values along each axis: seconds, and mm where the scan has geometry.
        translation: position of the first value along each axis, in the same units.
    """

    path: str
    shape: tuple[int, ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]


def write_ome_zarr(
    source: PathLike,
    output: PathLike,
    *,
    codec: DeepSTDCodec | None = None,
    chunk: int = CHUNK,
    model: str = AUTO,
    device: str = "auto",
    overwrite: bool = False,
    progress: Show | None = None,
) -> list[Level]:
    """Write the scan of a .dstd file and its previews as an OME-Zarr 0.5 image.

    Values are stored values; the attribute "deepstd" holds slope, intercept and unit, and the
    whole affine, which OME-Zarr 0.5 cannot express. Positions are measured along the scan's own
    axes.

    Args:
        source: path or URL of a .dstd file.
        output: folder to write, such as scan.ome.zarr.
        codec: codec of the chunks; None for Blosc with Zstandard, which every reader of Zarr has.
        chunk: size of the chunks along each spatial axis, 8 to 1024.
        model: name or folder of the model bundle; "auto" finds the bundle that the file names.
        device: "auto", "cpu", "cuda" or "cuda:N".
        overwrite: True to replace an existing Zarr group.
        progress: called with a sentence for each level; None to show nothing.

    Returns:
        the resolutions, finest first. Coarser ones follow until a chunk holds a whole frame, or the
        file has no more levels.

    Raises:
        ContainerError: the source is no .dstd file, or damaged.
        BundleError: the bundle is not installed, or damaged.
        OutputExistsError: the output is there and ``overwrite`` is False.
        InputError: the output is no local folder, cannot be written, or holds something else.
    """
    if not 8 <= chunk <= _MOST_CHUNK:
        raise InputError(f"a chunk has 8 to {_MOST_CHUNK} voxels along an axis, not {chunk}")
    place = apart([source], output)
    if io.is_url(place) or place == io.STREAM:
        raise InputError(f"{io.shown(place)}: write the OME-Zarr to a local folder, then copy it")
    told = Progress(progress)
    with _new_folder(Path(place), overwrite=overwrite) as folder:
        group = zarr.create_group(folder, zarr_format=3)
        told("restoring the scan")
        whole = api.decompress(source, model=model, device=device)
        levels: list[Level] = []
        for number, volume in _levels(whole, source, chunk, model, device, told):
            levels.append(_level(str(number), volume, whole))
            _put(group, levels[-1], volume, codec, chunk)
        name = Path(place).name.removesuffix(".zarr").removesuffix(".ome")
        group.attrs.put(_attributes(name, levels, whole))
    return levels


def _levels(
    whole: Volume, source: PathLike, chunk: int, model: str, device: str, told: Progress
) -> Iterator[tuple[int, Volume]]:
    """Yield the number and scan of each resolution, finest first."""
    volume = whole
    yield 0, whole
    exact = read_container(source, lossy_suffices=True).exact is not None
    number = 1
    while max(volume.shape[:3]) > chunk:
        told(f"restoring level {number}")
        if exact:  # every 2ⁿ-th voxel, which decoding again would only repeat
            volume = _every_other(volume)
        else:
            try:
                volume = api.decompress(source, model=model, device=device, level=number)
            except InputError as error:
                if "does not exist" not in str(error):
                    raise
                return
        yield number, volume
        number += 1


def _every_other(volume: Volume) -> Volume:
    steps = tuple(2 for _ in volume.shape[:3])
    voxels = volume.voxels[tuple(slice(None, None, step) for step in steps)]
    source = io.subsampled(volume.source, voxels.shape, steps)
    return Volume(voxels, io.affine_of(source), source)


def _level(path: str, volume: Volume, whole: Volume) -> Level:
    """Return the resolution of a scan or preview, with the position of its first voxel."""
    ndim = min(whole.voxels.ndim, 3)
    if whole.affine is None or volume.affine is None:
        # The least power of two that explains the shape; along short axes others would, too.
        sizes = zip(whole.shape[:ndim], volume.shape[:ndim], strict=True)
        scale = [float(2 ** math.ceil(math.log2(n / m))) for n, m in sizes]
        first = [0.0] * ndim
    else:
        columns = volume.affine[:3, :ndim]
        scale = [float(length) for length in np.linalg.norm(columns, axis=0)]
        directions = columns / np.where(np.array(scale) > 0, scale, 1.0)
        first = [float(along) for along in directions.T @ volume.affine[:3, 3]]
        scale = [length or 1.0 for length in scale]
    if whole.voxels.ndim == 4:
        step, begin = frames_of(whole)
        scale.append(step)
        first.append(begin)
    shape = volume.shape[::-1]
    return Level(path, shape, tuple(scale[::-1]), tuple(first[::-1]))


def _put(
    group: zarr.Group, level: Level, volume: Volume, codec: DeepSTDCodec | None, chunk: int
) -> None:
    """Write the array of a resolution, a frame at a time into chunks."""
    voxels = volume.voxels.T  # C order of (t, z, y, x)
    space = tuple(min(chunk, n) for n in voxels.shape[-3:])
    native = voxels.dtype.newbyteorder("=")
    coders: dict[str, Any] = {"compressors": [BloscCodec(cname="zstd", shuffle="bitshuffle")]}
    if codec is not None:
        coders = {"compressors": None, "serializer": codec}
    array = group.create_array(
        level.path,
        shape=voxels.shape,
        chunks=(1,) * (voxels.ndim - len(space)) + space,
        dtype=native,
        fill_value=native.type(0),
        dimension_names=_axis_names(voxels.ndim),
        **coders,
    )
    array[...] = np.asarray(voxels, native)


def _axis_names(ndim: int) -> list[str]:
    return (["t"] if ndim == 4 else []) + list(_SPACE[: min(ndim, 3)][::-1])


def _attributes(name: str, levels: list[Level], whole: Volume) -> dict[str, Any]:
    """Return the attributes of the group: OME-NGFF's, and what it cannot express."""
    axes: list[dict[str, str]] = []
    for axis in _axis_names(whole.voxels.ndim):
        if axis == "t":
            axes.append({"name": axis, "type": "time", "unit": "second"})
            continue
        unit = {} if whole.affine is None else {"unit": "millimeter"}
        axes.append({"name": axis, "type": "space", **unit})
    datasets = [
        {
            "path": level.path,
            "coordinateTransformations": [
                {"type": "scale", "scale": list(level.scale)},
                {"type": "translation", "translation": list(level.translation)},
            ],
        }
        for level in levels
    ]
    slope, intercept = io.scale_of(whole.source)
    affine = None if whole.affine is None else whole.affine.tolist()
    return {
        "ome": {
            "version": _VERSION,
            "multiscales": [{"name": name, "axes": axes, "datasets": datasets}],
        },
        "deepstd": {
            "affine": affine,  # voxel (x, y, z) to RAS+ mm
            "slope": slope,
            "intercept": intercept,
            "unit": io.error_scale_of(whole.source).unit,
        },
    }


@contextmanager
def _new_folder(place: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield an empty folder beside a place that becomes the place when the block ends well."""
    _check(place, overwrite)
    try:
        folder = Path(tempfile.mkdtemp(prefix=".deepstd-zarr-", dir=place.parent))
    except OSError as error:
        raise InputError(
            f"{place}: cannot be written ({error.strerror}). Choose another folder"
        ) from error
    try:
        with io.room_told(place, folder):
            yield folder
        _check(place, overwrite)
        old = None
        if place.exists():
            old = place.with_name(f"{folder.name}-old")
            os.rename(place, old)
        folder.chmod(0o777 & ~_umask())
        os.rename(folder, place)
        if old is not None:
            shutil.rmtree(old)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check(place: Path, overwrite: bool) -> None:
    """Raise an error where something is in the way that may not be replaced."""
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return
    if not place.is_dir() or not (place / _METADATA).is_file():
        raise InputError(f"{place}: holds something else than Zarr. Choose another output")
    if not overwrite:
        raise OutputExistsError(f"{place}: the folder holds files already. {OR_REPLACE}")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
