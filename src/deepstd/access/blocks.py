"""Voxels of a box of a scan, by the kind of its file.

    StoredScan ┬ textures ─▶ LossyBlocks         box ─ block ─▶ voxels, those of the whole decoding
               ├ special values alone ─▶ SpecialBlocks
               ├ EXAC ─▶ ExactBlocks
               └ RESI ─▶ LayeredBlocks, on one of the others without filters

What a box needs and does not depend on it is kept in a `ByteCache`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from deepstd import io, lossless, special_values
from deepstd.access.stored import StoredScan, part_of_header, shape_of
from deepstd.cache import ByteCache
from deepstd.codec import residual
from deepstd.codec.decoder import rounded
from deepstd.codec.exact import CodedVoxels
from deepstd.codec.frames import flat_axis, stored
from deepstd.codec.model import Model
from deepstd.codec.shape_stage import decode_shape
from deepstd.errors import DamagedError
from deepstd.special_values import Specials
from deepstd.texture.coded import CodedTexture
from deepstd.texture.filters.wiener import WienerFilter
from deepstd.texture.opened import Kept, OpenedTexture
from deepstd.texture.tiling import Region
from deepstd.volume import Volume


class Blocks(Protocol):
    """Interface of the voxels of a file."""

    def block(self, box: Region) -> np.ndarray:
        """Return the voxels of a box in the stored type, those of the whole decoding.

        Args:
            box: (start, stop) along each axis of the scan, not empty.

        Raises:
            DamagedError: a chunk that the box needs is damaged.
        """
        ...


class _Frames:
    """Special values of the frames of a file."""

    def __init__(self, scan: StoredScan, cache: ByteCache) -> None:
        self.scan, self.cache = scan, cache

    def specials(self, number: int) -> Specials | None:
        """Return the special values of a frame, or None where it has none."""
        frames, first = self.scan.index.frames, number
        place = frames[first].specials
        # An empty payload repeats the special values of the frame before.
        while place is not None and not place.nbytes and first:
            first -= 1
            place = frames[first].specials
        if frames[number].specials is None:
            return None

        def unpack() -> Specials | None:
            payload, shape = self.scan.optional(place), self.scan.shape[:3]
            payload = b"" if payload is None else payload
            return special_values.unpacked(payload, None, shape, self.scan.name)

        return self.cache.get(("specials", first), unpack, _bytes_of)


class LossyBlocks:
    """Voxels of a file with textures.

    Args:
        scan: the file.
        model: networks of its bundle.
        cache: cache of decoded parts.
        unfiltered: True for the prediction of an exact part, which has no filters.
    """

    def __init__(
        self, scan: StoredScan, model: Model, cache: ByteCache, *, unfiltered: bool = False
    ) -> None:
        self._scan, self._cache, self._unfiltered = scan, cache, unfiltered
        self._model = model.unfiltered() if unfiltered else model
        self._special = _Frames(scan, cache)
        frame = scan.shape[:3]
        self._codec, self._seen = self._model.codec_for(frame)
        self._flat = flat_axis(frame) if len(self._seen) < len(frame) else None
        self._wiener: WienerFilter | None = None
        payload = None if unfiltered else scan.optional(scan.index.wiener)
        if payload is not None:
            tables, ndim = self._codec.network.tables, len(self._seen)
            self._wiener = WienerFilter.unpack(payload, ndim, tables, scan.name)
        self._scales = io.has_own_scales(scan.source)

    def block(self, box: Region) -> np.ndarray:
        """Return the voxels of a box (`Blocks.block`)."""
        scan = self._scan
        voxels = np.empty(shape_of(box), scan.head.dtype)
        if len(box) < 4:
            voxels[...] = self._frame(0, box)
        else:
            for place, number in enumerate(range(box[3].start, box[3].stop)):
                voxels[..., place] = self._frame(number, box[:3])
        if not self._scales:
            return voxels
        return io.requantised(Volume(voxels, source=part_of_header(scan, box))).voxels

    def _frame(self, number: int, box: Region) -> np.ndarray:
        """Return a box of a frame."""
        texture, special = self._texture(number), self._special.specials(number)
        seen = tuple(span for axis, span in enumerate(box) if axis != self._flat)
        if self._wiener is None:
            steps = texture.steps(seen)
        else:
            steps = self._wiener.apply_to(seen, self._seen, texture.steps)
        removed = None if special is None else special.part(box)
        scale, head = texture.scale, self._scan.head
        if self._unfiltered:
            scale = rounded(scale[0]), rounded(scale[1])
        steps = steps.reshape(shape_of(box))
        return stored(steps, *scale, head.dtype, removed, nonnegative=head.nonnegative)

    def _texture(self, number: int) -> OpenedTexture:
        """Return the texture of a frame, which reads its tiles when they are needed."""

        predicted: list[np.ndarray] = []

        def opened() -> OpenedTexture:
            scan, shape = self._scan, self._scan.shape[:3]
            chunks = scan.texture(number)
            conditioning = decode_shape(self._model, chunks, shape, scan.placement)
            predicted.extend(conditioning or ())
            coded = CodedTexture(chunks.texture, chunks.tiles, self._seen, scan.name)
            return self._codec.opened(coded, conditioning, Kept(self._cache, number))

        def size(_: OpenedTexture) -> int:
            nbytes = self._scan.index.frames[number].texture.nbytes
            return nbytes + sum(array.nbytes for array in predicted)

        return self._cache.get(("texture", number), opened, size)


class SpecialBlocks:
    """Voxels of a file whose voxels are special values alone."""

    def __init__(self, scan: StoredScan, cache: ByteCache) -> None:
        self._scan, self._special = scan, _Frames(scan, cache)

    def block(self, box: Region) -> np.ndarray:
        """Return the voxels of a box (`Blocks.block`)."""
        dtype = self._scan.head.dtype
        voxels = np.empty(shape_of(box), dtype)
        frames = range(box[3].start, box[3].stop) if len(box) > 3 else range(1)
        for place, number in enumerate(frames):
            special = self._special.specials(number)
            special = None if special is None else special.part(box[:3])
            if special is None or not special.labels.all():
                raise DamagedError(f"{self._scan.name} is damaged: a frame has no texture")
            frame = special.restore(np.zeros(shape_of(box[:3]), dtype))
            voxels[(..., place) if len(box) > 3 else ...] = frame
        return voxels


class ExactBlocks:
    """Voxels of a file that is lossless or of bounded error."""

    def __init__(self, scan: StoredScan, cache: ByteCache) -> None:
        self._scan = scan
        exact = scan.optional(scan.index.exact)
        if exact is None:
            raise ValueError(f"{scan.name} has no EXAC chunk")
        self._coded = CodedVoxels.read(exact, scan.head, scan.source, scan.name)
        self._values = lossless.OpenedVoxels(
            self._coded.payload, scan.shape, self._coded.dtype, scan.name, cache, "exact"
        )

    def block(self, box: Region) -> np.ndarray:
        """Return the voxels of a box (`Blocks.block`)."""
        values, source = self._values.part(box), self._scan.source
        if self._coded.of_frames:
            source = part_of_header(self._scan, box)
        return self._coded.voxels(values, source)


class LayeredBlocks:
    """Exact voxels of a layered file.

    Args:
        scan: the file.
        base: makes the blocks of its lossy part without filters; called where they are needed.
        cache: cache of decoded parts.
    """

    def __init__(self, scan: StoredScan, base: Callable[[], Blocks], cache: ByteCache) -> None:
        self._scan, self._cache = scan, cache
        self._payload = scan.residual()
        self._base = base() if residual.needs_base(self._payload) else None
        self._values: lossless.OpenedVoxels | None = None

    def block(self, box: Region) -> np.ndarray:
        """Return the voxels of a box (`Blocks.block`)."""
        scan, shape = self._scan, shape_of(box)
        own = io.has_own_scales(scan.source)
        source = part_of_header(scan, box) if own else scan.source

        def values(payload: bytes, _: tuple[int, ...], dtype: np.dtype, name: str) -> np.ndarray:
            if self._values is None:
                parts = payload, scan.shape, dtype, name
                self._values = lossless.OpenedVoxels(*parts, self._cache, "residual")
            return self._values.part(box)

        base = None if self._base is None else Volume(self._base.block(box), source=source)
        about = residual.Decoded(shape, scan.head.dtype, source)
        try:
            return residual.decode(self._payload, base, about, scan.name, values)
        except (ValueError, OverflowError) as error:
            if isinstance(error, DamagedError):
                raise
            raise DamagedError(f"{scan.name} is damaged: its exact part: {error}") from error


def _bytes_of(special: Specials | None) -> int:
    return 0 if special is None else special.labels.nbytes
