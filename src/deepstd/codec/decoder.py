"""Decoder: a parsed .dstd file to the scan, or to a preview.

container ─ shape, texture (levels wanted) ─ filter ─▶ values ─ special values in ─▶ Volume
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import numpy as np

from deepstd import io, special_values
from deepstd.codec import without_bundle
from deepstd.codec.frames import flat_axis, stored
from deepstd.codec.model import Model
from deepstd.codec.shape_stage import decode_shape
from deepstd.container import Beginning, Container
from deepstd.errors import DamagedError, InputError, named
from deepstd.inspection import mismatch
from deepstd.progress import Progress
from deepstd.texture.coded import CodedTexture
from deepstd.texture.filters.wiener import WienerFilter
from deepstd.volume import Volume

# Bits of the numbers that powers of two give on every machine.
_ROUNDED_BITS = 40


def decode(model: Model, container: Container, progress: Progress | None = None) -> Volume:
    """Decode a parsed file.

    Args:
        container: the parsed file.
        progress: progress of the job, with the parts "decode shape", "decode texture" and
            "decode rest"; None to keep no times.

    Raises:
        BundleMismatchError: the file was written with another bundle.
        DamagedError: the payload is malformed, or the hash of the file is not that of its
            contents.
    """
    if without_bundle.is_without_bundle(container):
        return without_bundle.decode(container)
    head = container.head
    own = model.bundle.reference
    if head.bundle != own:
        raise mismatch(container)
    progress = progress or Progress()
    with named(container.name), progress.timed("decode rest"):
        volume, symbols = _decode(model, container, 0, progress, container.wiener)
        container.check(symbols)
        return volume


def unfiltered(model: Model, container: Container) -> Volume:
    """Decode a parsed file without filters: a prediction that is the same on every machine.

    Args:
        container: the parsed file.

    Raises:
        BundleMismatchError: the file was written with another bundle.
        DamagedError: the payload is malformed, or the hash of the file is not that of its
            contents.
        InputError: the bundle has floats that are no filter.
    """
    if without_bundle.is_without_bundle(container):
        return without_bundle.decode(container)
    if container.head.bundle != model.bundle.reference:
        raise mismatch(container)
    with named(container.name):
        volume, symbols = _decode(model.unfiltered(), container, 0, Progress(), exact=True)
        container.check(symbols)
        return volume


def preview(model: Model, beginning: Beginning, level: int) -> Volume:
    """Decode a file without its finest wavelet levels, at half, a quarter … of the resolution.

    Axes with thick voxels are halved later, as the wavelet splits them later. The first voxel
    keeps its position. The hash of the file cannot be checked.

    Args:
        beginning: first part of a file, or the whole parsed file.
        level: 1 for half of the resolution, 2 for a quarter, and so on.

    Raises:
        InputError: the scan has fewer levels.
        BundleMismatchError: the file was written with another bundle.
        DamagedError: the payload is malformed.
    """
    if level < 1:
        raise InputError(f"a preview leaves out at least one level, not {level}")
    if without_bundle.is_without_bundle(beginning):
        return without_bundle.decode(beginning, level)
    if beginning.head.bundle != model.bundle.reference:
        raise mismatch(beginning)
    with named(beginning.name):
        return _decode(model, beginning, level, Progress())[0]


def _decode(
    model: Model,
    container: Beginning,
    level: int,
    progress: Progress,
    wiener: bytes | None = None,
    *,
    exact: bool = False,
) -> tuple[Volume, bytes]:
    """Decode a scan or a preview, and return it with the hash of the decoded symbols.

    Args:
        exact: True to round step and offset, whose last bits depend on the machine's library.
    """
    head = container.head
    source = container.source_header()
    try:
        affine = io.check_header(source, head.shape, head.dtype)
        placement = io.placement_of(source)
    except InputError as error:
        raise DamagedError(f"the header of the original scan is damaged: {error}") from error
    frame_shape = head.shape[:3]
    factors = _check_frames(model, container, level)
    codec, seen = model.codec_for(frame_shape)
    filtered = _filter_of(model, wiener, frame_shape, container.name)
    kept = tuple(-(-n // f) for n, f in zip(frame_shape, factors, strict=True))
    voxels = np.empty((*kept, *head.shape[3:]), dtype=head.dtype)
    latents = hashlib.sha256()
    special: special_values.Specials | None = None
    for number, chunks in enumerate(container.frames):
        special = special_values.unpacked(chunks.specials, special, frame_shape, container.name)
        removed = None if special is None else special.subsampled(factors)
        with progress.timed("decode shape"):
            conditioning = decode_shape(model, chunks, frame_shape, placement)
        with progress.timed("decode texture"):
            coded = CodedTexture(chunks.texture, chunks.tiles, seen, container.name)
            texture = codec.decode(coded, conditioning, level)
        latents.update(texture.latents)
        steps = filtered(texture.steps).reshape(kept)
        scale = texture.step, texture.offset
        if exact:
            scale = rounded(texture.step), rounded(texture.offset)
        del texture  # its values, which the filter has copied
        frame = stored(steps, *scale, head.dtype, removed, nonnegative=head.nonnegative)
        voxels[(..., number) if len(head.shape) == 4 else ...] = frame
    source_nbytes = head.source_nbytes
    if level:
        source = io.subsampled(source, voxels.shape, factors)
        affine = io.affine_of(source)
        source_nbytes = None
    volume = Volume(voxels, affine, source, container.notes, source_nbytes)
    return io.requantised(volume), latents.digest()


def rounded(value: float) -> float:
    """Return a number to 40 bits."""
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(math.ldexp(mantissa, _ROUNDED_BITS)), exponent - _ROUNDED_BITS)


def _check_frames(model: Model, container: Beginning, level: int) -> tuple[int, ...]:
    """Check all textures before memory is taken, and return a preview's factor per axis."""
    shape = container.head.shape[:3]
    codec, seen = model.codec_for(shape)
    flat = flat_axis(shape) if len(seen) < len(shape) else None
    found = set()
    for chunks in container.frames:
        coded = CodedTexture(chunks.texture, chunks.tiles, seen, container.name)
        factors = [*codec.check(coded, level)]
        if flat is not None:
            factors.insert(flat, 1)
        found.add(tuple(factors))
    if len(found) != 1:
        raise DamagedError("its frames have different voxel proportions")
    return found.pop()


def _filter_of(
    model: Model, wiener: bytes | None, shape: tuple[int, ...], name: str
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that applies the Wiener filter of a file, or the identity."""
    if wiener is None:
        return lambda steps: steps
    codec, seen = model.codec_for(shape)
    found = WienerFilter.unpack(wiener, len(seen), codec.network.tables, name)
    return found.apply
