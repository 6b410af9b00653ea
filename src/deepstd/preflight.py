"""Checks of a request before its work, so that errors appear at once and without torch.

    request ─ names of bundle, device and output ─┐
    outline of a scan, header of a .dstd file ────┴─ size, memory, space ─▶ an error, or nothing

No check refuses a possible request: sizes and memory are compared with lower bounds.
"""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deepstd import io
from deepstd.codec.without_bundle import is_without_bundle
from deepstd.container import Beginning, Description, least_bytes
from deepstd.errors import DeviceError, InputError, RateError, named
from deepstd.extras import check_torch
from deepstd.inspection import AUTO
from deepstd.memory import free_memory
from deepstd.rate.target import Target, in_words
from deepstd.volume import SourceHeader, Volume

PathLike = str | os.PathLike[str]
SUFFIX = ".dstd"
_DEVICE = re.compile(r"auto|cpu|cuda(:[0-9]+)?")
# Files of GPU drivers: NVIDIA, Windows Subsystem for Linux, AMD.
_GPU_DRIVERS = ("/proc/driver/nvidia/version", "/dev/dxg", "/dev/kfd")
# Formats whose files are as large as the voxels.
_AS_LARGE = (".nii", ".npy")


@dataclass(frozen=True)
class Work:
    """Memory needs of an operation on a scan.

    Attributes:
        words: name of the operation, for messages.
        way_out: advice where memory is short, for messages.
        bytes_a_voxel: least memory in bytes a voxel, where the CPU computes.
        bytes_on_gpu: least memory of the machine in bytes a voxel, where a GPU computes.
    """

    words: str
    way_out: str
    bytes_a_voxel: float
    bytes_on_gpu: float


# Measured: 195 and 118 bytes a voxel for 5 million voxels, about 48 for 72 million. The values are
# lower bounds, as the tiles in work weigh less in a large scan.
COMPRESSING = Work("compressing", "divide the scan", 40, 8)
DECOMPRESSING = Work("restoring", "restore a preview (decompress --level 1)", 20, 8)
# Bytes a voxel of the scan that any part of it takes: levels but the finest. Measured: 1.6 for 72
# million voxels.
_PART_BYTES = 1.5
# Bytes a voxel of the exact coder beside the voxels. Measured: 28 for 72 million voxels of 2 bytes.
_EXACT_BYTES = 16


def compressing(target: Target, dtype: np.dtype) -> Work:
    """Return the memory needs of compressing voxels of a type."""
    if target.without_bundle:
        needed = _EXACT_BYTES + 2 * dtype.itemsize  # the scan, and what comes back
        return replace(COMPRESSING, bytes_a_voxel=needed, bytes_on_gpu=needed)
    return COMPRESSING


def restoring(container: Beginning) -> Work:
    """Return the memory needs of restoring a file; files of special values take the voxels."""
    if is_without_bundle(container):
        needed, way_out = container.head.dtype.itemsize, DECOMPRESSING.way_out
        if container.exact is not None:  # a preview takes as much
            needed, way_out = needed + _EXACT_BYTES, "restore it elsewhere"
        return Work(DECOMPRESSING.words, way_out, needed, needed)
    return DECOMPRESSING


def check_part(described: Description, voxels: int, devices: str) -> None:
    """Raise an InputError if a part of a scan needs more memory than is free.

    Args:
        described: description of the file.
        voxels: voxels of the part.
        devices: device names, separated by commas.
    """
    frame = math.prod(described.head.shape[:3])
    needed = _PART_BYTES + DECOMPRESSING.bytes_a_voxel * voxels / frame
    work = Work("reading a part of", "read a smaller part", needed, needed)
    check_memory(described.name, frame, work, devices)


def check_compressing(
    paths: Sequence[PathLike],
    name: str,
    output: str,
    target: Target,
    model: str,
    devices: str,
) -> None:
    """Raise an error if a request to compress cannot be met, before the scan is read.

    Args:
        paths: paths and URLs of the scan; none for a scan in memory.
        name: name of the source, for messages.
        output: location of the compressed file.
        target: requested size, or a lossless file.
        model: name or folder of a bundle, or "auto".
        devices: device names, separated by commas.

    Raises:
        InputError: the output has the name of a scan, or memory or disk space is short.
        RateError: no file of the scan can be as small as asked.
        BundleNotFoundError: there is no such bundle.
        DeviceError: there is no such kind of device.
    """
    check_compressed_name(output)
    check_devices(devices)
    check_bundle(model)
    if len(paths) == 1:
        place = io.location(paths[0])
        found = None if io.is_url(place) else io.outline(Path(place))
        if found is not None:
            target = _asked(target, labels=found.labels)
            with named(name, RateError):
                least = check_rate(target, found.headers, found.shape, found.dtype)
            check_memory(name, found.voxels, compressing(target, found.dtype), devices)
            allowed = target.bytes_for(found.voxels, found.nbytes)
            check_space(output, least if target.sizeless else allowed)


def check_volume(volume: Volume, name: str, output: str, target: Target, devices: str) -> None:
    """Raise an error where a scan in memory cannot be compressed as requested.

    Args:
        volume: scan to compress.
        name: name of the scan, for messages.
        output: location of the compressed file.
        target: requested size, or a lossless file.
        devices: device names, separated by commas.

    Raises:
        InputError: memory or disk space is short.
        RateError: no file of the scan can be as small as asked.
    """
    shape, dtype = volume.shape, volume.voxels.dtype
    target = _asked(target, labels=volume.labels)
    least = check_rate(target, (volume.source,), shape, dtype)
    check_memory(name, volume.voxels.size, compressing(target, dtype), devices)
    allowed = target.bytes_for(volume.voxels.size, volume.nbytes)
    check_space(output, least if target.sizeless else allowed)


def _asked(target: Target, *, labels: bool) -> Target:
    """Return the target that counts: declared label maps are coded exactly at any size."""
    return Target(lossless=True) if labels else target


def check_bundle(name: str) -> None:
    """Raise a BundleNotFoundError where a name or folder is no bundle; "auto" always passes."""
    if name != AUTO:
        from deepstd import bundle as bundles

        bundles.find(name)


def check_devices(names: str) -> None:
    """Raise a DeviceError where a comma-separated list names an unknown kind of device."""
    for name in map(str.strip, names.split(",")):
        if _DEVICE.fullmatch(name) is None:
            raise DeviceError(f"device {name!r} is not supported: use auto, cpu, cuda or cuda:N")
        if name.startswith("cuda"):
            check_torch(f"device {name!r}", "gpu")


def check_sources(paths: Sequence[Path]) -> None:
    """Raise an InputError that names the first missing file or folder."""
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")


def check_compressed_name(place: str) -> None:
    """Raise an InputError where the output of a compression is named like a scan or a folder."""
    name = io.shown(place)
    if place.endswith(("/", os.sep)) or (not io.is_url(place) and os.path.isdir(place)):
        raise InputError(f"{name}: names a folder. Name a file in it, such as scan{SUFFIX}")
    for suffix in io.SCAN_SUFFIXES:
        if name.lower().endswith(suffix):
            better = name[: -len(suffix)] + SUFFIX
            raise InputError(
                f"{name}: has the name of a scan, but a compressed scan is to be written. Name it "
                f"{better}"
            )


def check_rate(
    target: Target, headers: tuple[SourceHeader, ...], shape: tuple[int, ...], dtype: np.dtype
) -> int:
    """Return the least bytes of a .dstd file of a scan; raise a RateError if fewer are requested.

    Args:
        target: requested size.
        headers: headers that the file may keep; the smallest counts.
        shape: voxels of the scan along each axis.
        dtype: stored type.
    """
    voxels = math.prod(shape)
    stored_bytes = voxels * dtype.itemsize
    allowed = target.bytes_for(voxels, stored_bytes)
    least = min(least_bytes(header, shape, dtype) for header in headers)
    if allowed < least:
        raise RateError(
            f"cannot make the file that small: {allowed} bytes were asked for, and the scan's "
            f"shape, header and checksums alone take {least}. Ask for "
            f"{in_words(least, voxels, stored_bytes)}, and some more for the voxels."
        )
    return least


def check_memory(name: str, voxels: int, work: Work, devices: str) -> None:
    """Raise an InputError if a scan needs more memory than is free.

    Args:
        name: name of the scan, for messages.
        voxels: number of voxels.
        work: operation and its needs.
        devices: device names, separated by commas; memory of a GPU is not counted.
    """
    free = free_memory()
    on_gpu = "cuda" in devices or (AUTO in devices and any(map(os.path.exists, _GPU_DRIVERS)))
    needed = (work.bytes_on_gpu if on_gpu else work.bytes_a_voxel) * voxels
    if free is not None and needed > free:
        raise InputError(
            f"{name}: {work.words} its {voxels:,} voxels takes at least {needed / 2**30:.1f} GiB "
            f"of memory, and {free / 2**30:.1f} GiB are free. Close other programs, use a machine "
            f"with more, or {work.way_out}"
        )


def check_space(place: str, nbytes: int) -> None:
    """Raise an InputError where the disk of a local output has less than ``nbytes`` free."""
    if io.is_url(place) or place == io.STREAM:
        return
    folder = Path(os.path.realpath(place)).parent
    try:
        disk = shutil.disk_usage(folder)
    except OSError:  # writing reports an error of the folder
        return
    if disk.total and nbytes > disk.free:
        raise InputError(
            f"{place}: takes {nbytes:,} bytes, and {disk.free:,} are free in {folder}. Free some "
            "space, or choose another folder"
        )


def check_restoring(container: Beginning, output: str | None, devices: str, level: int) -> None:
    """Raise an error if the scan of a .dstd file cannot be restored as requested.

    Args:
        container: beginning of the file.
        output: location of the restored scan; None to write nothing.
        devices: device names, separated by commas.
        level: level of the preview, each at half the resolution; 0 for the whole scan.

    Raises:
        UnsupportedFormatError: the output's format cannot hold the scan.
        InputError: memory or disk space is short, or the scan has fewer levels.
    """
    head = container.head
    if level and 2 ** (level - 1) >= max(head.shape[:3]):
        raise InputError(f"{container.name}: the scan of shape {head.shape} has not {level} levels")
    if output is not None:
        io.check_output(output, len(head.shape), head.dtype, None, source=head.source_format)
    if not level or container.exact is not None:  # whose previews are made of all voxels
        check_memory(container.name, head.voxel_count, restoring(container), devices)
    if not level and output is not None and output.lower().endswith(_AS_LARGE):
        check_space(output, head.stored_bytes)
