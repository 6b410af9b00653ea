"""MINC scans (.mnc), geometry by nibabel: version 1 in netCDF, version 2 in HDF5.

    file ─ netCDF or HDF5 ─▶ stored values, valid range, image-min and image-max ─▶ Scales
       └ nibabel ─▶ affine of the stored axes (zspace, yspace, xspace)
    axes reversed, time last ─▶ voxels[x, y, z(, time)] ─▶ Volume with a fresh NIfTI header

Real-world values follow nibabel: stored values are limited to the valid range, then scaled.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io import hdf5, parts, scaled
from deepstd.io.scaled import NO_SCALES, Scales

if TYPE_CHECKING:
    from pathlib import Path

    from deepstd.volume import Volume

SUFFIXES = (".mnc",)
_MAGIC = (b"CDF\x01", b"CDF\x02")
ROOT = "minc-2.0"
"""Group of an HDF5 file that holds a MINC scan."""
_IMAGE = f"{ROOT}/image/0/"
_TIME = "time"
_NOTE = "a MINC scan: comes back as NIfTI, without what else its header says"


class _Parts(NamedTuple):
    """Parts of an opened MINC file.

    Attributes:
        file: nibabel's `Minc1File` or `Minc2File`.
        names: names of the axes as stored, outermost first.
        shape: lengths of these axes.
        dtype: stored type.
        scales: for the axes in their stored order.
        valid: smallest and largest valid stored value; None for floats.
        time: step and start of the time axis.
    """

    file: Any
    names: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype
    scales: Scales
    valid: tuple[float, float] | None
    time: tuple[float, float]


def recognises(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is netCDF, as MINC 1 files are."""
    return head.startswith(_MAGIC)


def read(path: Path) -> Volume:
    """Read a MINC 1 file; voxels have shape (x, y, z[, time]).

    Raises:
        UnsupportedFormatError: netCDF of another kind, colours, or an irregular grid.
        GeometryError: the affine is not finite or singular.
        InputError: the file is damaged or cut short.
    """
    found, stored = _netcdf(path)
    return _volume(found, stored)


def declares(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and type of the voxels that `read` returns.

    Raises:
        UnsupportedFormatError: netCDF of another kind, colours, or an irregular grid.
        InputError: the file is damaged or cut short.
    """
    found, _ = _netcdf(path)
    return _declared(found)


def read_hdf5(file: Any) -> Volume:
    """Read the MINC 2 scan of an opened HDF5 file, as `read` does."""
    found, image = _of_hdf5(file)
    return _volume(found, hdf5.values(image))


def declares_hdf5(file: Any) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and type of the voxels that `read_hdf5` returns."""
    found, _ = _of_hdf5(file)
    return _declared(found)


def _netcdf(path: Path) -> tuple[_Parts, np.ndarray]:
    from nibabel.externals.netcdf import netcdf_file
    from nibabel.minc1 import Minc1File

    with open(path, "rb") as stream:
        cdf = netcdf_file(stream, "r", mmap=False)
        if not {"image", "image-max", "image-min"} <= set(cdf.variables):
            raise UnsupportedFormatError(
                "a netCDF file that is no MINC scan is not supported. Save its array as .npy"
            )
        minc = _by_nibabel(Minc1File, cdf)
        image = cdf.variables["image"]
        names = tuple(map(str, image.dimensions))
        stored = np.asarray(image.data).view(minc.get_data_dtype())
        valid = getattr(image, "valid_range", None)
        if valid is None and hasattr(image, "valid_min") and hasattr(image, "valid_max"):
            valid = [image.valid_min, image.valid_max]
        ends = [cdf.variables[name] for name in ("image-min", "image-max")]
        low, high = (np.array(end.data, np.float64) for end in ends)
        axes = tuple(map(str, ends[0].dimensions)), tuple(map(str, ends[1].dimensions))
        time = cdf.variables.get(_TIME)
        told = {key: getattr(time, key, None) for key in ("step", "start")}
    return _parts(minc, names, stored.shape, stored.dtype, valid, (low, high), axes, told), stored


def _of_hdf5(file: Any) -> tuple[_Parts, Any]:
    from nibabel.minc2 import Minc2File

    image, *ends = (_dataset(file, _IMAGE + name) for name in ("image", "image-min", "image-max"))
    names = _order(image)
    for name in names:
        axis = hdf5.find(file, f"{ROOT}/dimensions/{name}")
        if axis is None:
            raise InputError(f"its axis {parts.told(name)} is not described. It is damaged")
        if _word(axis.attrs.get("spacing", b"")).startswith("irregular"):
            raise _unsupported_grid("Irregular spacing not supported")
    minc = _by_nibabel(Minc2File, file)
    low, high = (np.array(hdf5.values(end), np.float64) for end in ends)
    time = hdf5.find(file, f"{ROOT}/dimensions/{_TIME}")
    told = {} if time is None else {key: time.attrs.get(key) for key in ("step", "start")}
    valid, axes = image.attrs.get("valid_range"), (_order(ends[0]), _order(ends[1]))
    shape = hdf5.shape_of(image)
    return _parts(minc, names, shape, image.dtype, valid, (low, high), axes, told), image


def _dataset(file: Any, name: str) -> Any:
    found = hdf5.find(file, name)
    if found is None or not hasattr(found, "dtype"):
        raise InputError(f"{name} is missing. The MINC file is damaged")
    if found.dtype.kind not in "iuf":
        raise UnsupportedFormatError(
            f"MINC values of type {found.dtype} are not supported: expected one number a voxel"
        )
    hdf5.check_stored(found)
    return found


def _order(dataset: Any) -> tuple[str, ...]:
    text = _word(dataset.attrs.get("dimorder", b""))
    return tuple(text.split(",")[: len(hdf5.shape_of(dataset))]) if text else ()


def _word(told: Any) -> str:
    """Return the text of an attribute, which may have a fixed or a variable length."""
    return told.decode(errors="replace") if isinstance(told, bytes) else str(told)


def _by_nibabel(kind: Any, opened: Any) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a spacing that is neither regular nor irregular
            return kind(opened)
    except ValueError as error:
        raise _unsupported_grid(str(error)) from error
    except (KeyError, AttributeError) as error:
        raise InputError(f"a part of its header is missing ({error}). It is damaged") from error


def _unsupported_grid(why: str) -> UnsupportedFormatError:
    return UnsupportedFormatError(
        f"its grid is not supported ({why}). Resample it: mincresample FILE scan.mnc"
    )


def _parts(
    minc: Any,
    names: tuple[str, ...],
    shape: tuple[int, ...],
    dtype: np.dtype,
    valid: Any,
    ends: tuple[np.ndarray, np.ndarray],
    axes: tuple[tuple[str, ...], tuple[str, ...]],
    time: dict[str, Any],
) -> _Parts:
    others = [name for name in names if not name.endswith("space")]
    if len(names) != len(shape) or len(names) - len(others) != 3 or others not in ([], [_TIME]):
        listed = ", ".join(map(parts.told, names))
        raise UnsupportedFormatError(
            f"a MINC scan of axes {listed} is not supported: expected xspace, yspace and zspace, "
            "and time at most. Save each part as a scan of its own: mincextract or mincreshape"
        )
    step, start = (_number(time.get(key)) for key in ("step", "start"))
    frames = (step, start or 0.0) if step is not None and step > 0 else (1.0, 0.0)
    if dtype.kind == "f":
        return _Parts(minc, names, shape, dtype, NO_SCALES, None, frames)
    if axes[0] != axes[1] or axes[0] != names[: len(axes[0])]:
        raise UnsupportedFormatError("the scales of its slices do not follow its axes")
    info = np.iinfo(dtype)
    low, high = (info.min, info.max) if valid is None else map(float, np.ravel(valid)[:2])
    if not info.min <= low < high <= info.max:
        raise InputError(f"its valid range {low:g} … {high:g} is not one of {dtype}. It is damaged")
    expected = shape[: len(axes[0])]
    if any(end.size != math.prod(expected) for end in ends):
        raise InputError("the number of its scales is not that of its slices. It is damaged")
    least, most = (end.reshape(expected + (1,) * (len(shape) - len(expected))) for end in ends)
    slopes = (most - least) / (high - low)
    scales = Scales(slopes, least - low * slopes)
    return _Parts(minc, names, shape, dtype, scales, (low, high), frames)


def _number(value: Any) -> float | None:
    if value is None or np.size(value) != 1:
        return None
    number = float(np.ravel(value)[0])
    return number if math.isfinite(number) else None


def _order_of(found: _Parts) -> list[int]:
    """Return the stored axes in the order of the voxels: innermost space first, time last."""
    spatial = [n for n, name in enumerate(found.names) if name.endswith("space")]
    return spatial[::-1] + [n for n in range(len(found.names)) if n not in spatial]


def _arranged(scales: Scales, order: list[int]) -> Scales:
    if scales is NO_SCALES:
        return scales
    return Scales(scales.slopes.transpose(order), scales.intercepts.transpose(order))


def _declared(found: _Parts) -> tuple[tuple[int, ...], np.dtype]:
    shape = tuple(found.shape[n] for n in _order_of(found))
    return shape, scaled.type_of(found.dtype, found.scales)


def _volume(found: _Parts, stored: np.ndarray) -> Volume:
    order = _order_of(found)
    notes = (_NOTE,)
    if found.valid is not None:
        low, high = (stored.dtype.type(limit) for limit in found.valid)
        outside = int(np.count_nonzero((stored < low) | (stored > high)))
        if outside:
            stored = np.clip(stored, low, high)
            notes += (f"{outside} values outside of the valid range: limited to it, as in nibabel",)
    affine = found.file.get_affine()[:, [2, 1, 0, 3]]
    voxels, scales = stored.transpose(order), _arranged(found.scales, order)
    return scaled.volume_of(voxels, affine, scales, found.time, notes)
