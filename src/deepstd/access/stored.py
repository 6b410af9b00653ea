"""A .dstd file of which single chunks are read.

place ─ Ranges ─ ChunkIndex ─▶ StoredScan ─▶ payloads of a frame, each checked by its checksum
                                   ├▶ Beginning, for previews
                                   └▶ Container: the whole file
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import overload

from deepstd import io
from deepstd.container import (
    Beginning,
    Coding,
    Container,
    FrameChunks,
    parse,
)
from deepstd.container.index import ByteRanges, Place, payload_at, read_index
from deepstd.errors import DamagedError, InputError
from deepstd.volume import SourceHeader

_LINK_BYTES = 8  # of the hash of the lossy file, before the exact part


class StoredScan:
    """A .dstd file, its description, and the places of its chunks.

    Args:
        source: path or URL of the file, or "-" for standard input.

    Attributes:
        name: name of the file, for messages.
        ranges: reader of its bytes.
        index: places of its chunks.
        head: contents of the HEAD chunk.
        description: header, notes and smallest type of the scan.
        source: header of the original scan.
        affine: voxel-to-world matrix, (4, 4), or None.
        placement: affine that aligns the scan with a template, (4, 4), or None.

    Raises:
        ContainerError: the file is no .dstd file, cut off or damaged.
        InputError: the file cannot be read.
        MissingExtraError: a package for the URL's scheme is not installed.
    """

    def __init__(self, source: str | os.PathLike[str]) -> None:
        place = io.location(source)
        self.name = "standard input" if place == io.STREAM else io.shown(place)
        self.ranges = io.Ranges(place)
        self.index, self.description = read_index(self.ranges, self.name)
        self.head = self.index.head
        self.source = self.description.source_header()
        try:
            self.affine = io.check_header(self.source, self.head.shape, self.head.dtype)
            self.placement = io.placement_of(self.source)
        except InputError as error:
            raise DamagedError(
                f"{self.name}: the header of the original scan is damaged: {error}"
            ) from error

    @property
    def layered(self) -> bool:
        """True where an exact part follows the lossy file."""
        return self.index.residual is not None

    @property
    def is_exact(self) -> bool:
        """True where every voxel comes back exactly, without an exact part."""
        place = self.index.exact
        if place is None:
            return self.is_without_texture
        return self.ranges.read(place.offset + place.begin, 1) != bytes([Coding.STEPS])

    @property
    def is_without_texture(self) -> bool:
        """True where all voxels are special values, and no frame has a texture."""
        frames = self.index.frames
        return self.index.exact is None and not any(frame.texture.nbytes for frame in frames)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the scan."""
        return self.head.shape

    def payload(self, place: Place) -> bytes:
        """Read the payload of a chunk, and check its checksum."""
        return payload_at(self.ranges, place, self.name)

    def optional(self, place: Place | None) -> bytes | None:
        """Read the payload of a chunk; return None where there is no such chunk."""
        return None if place is None else self.payload(place)

    def texture(self, number: int) -> FrameChunks:
        """Return texture and field of a frame; each tile is read when it is asked for."""
        places = self.index.frames[number]
        return FrameChunks(
            self.payload(places.texture),
            self.optional(places.shape),
            Payloads(self.ranges, places.tiles, self.name),
        )

    def residual(self) -> bytes:
        """Read the payload of the exact part."""
        place = self.index.residual
        if place is None:
            raise ValueError(f"{self.name} has no exact part")
        return self.payload(place)[_LINK_BYTES:]

    def beginning(self) -> Beginning:
        """Read what a preview needs: all chunks but tiles, or all voxels of a lossless file."""
        frames = tuple(
            FrameChunks(
                self.payload(places.texture),
                self.optional(places.shape),
                specials=self.optional(places.specials),
            )
            for places in self.index.frames
        )
        exact = self.optional(self.index.exact)
        told = self.description
        described = told.packed_source_header, told.notes, told.smallest
        return Beginning(self.name, told.nbytes, self.head, *described, frames, exact)

    def container(self, *, lossy: bool) -> Container:
        """Read and parse the whole file.

        Args:
            lossy: True to leave out the exact part.
        """
        nbytes = self.index.lossy_nbytes if lossy else self.ranges.size
        return parse(self.ranges.read(0, nbytes), self.name)


class Payloads(Sequence[bytes]):
    """Payloads of chunks, each read and checked when it is asked for."""

    def __init__(self, source: ByteRanges, places: Sequence[Place], name: str) -> None:
        self._source, self._places, self._name = source, places, name

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return Payloads(self._source, self._places[index], self._name)
        return payload_at(self._source, self._places[index], self._name)


def part_of_header(stored: StoredScan, box: tuple[slice, ...]) -> SourceHeader:
    """Return the header of a box of the scan."""
    spans = [range(span.start, span.stop) for span in box]
    return io.cropped(stored.source, stored.shape, spans)


def shape_of(box: tuple[slice, ...]) -> tuple[int, ...]:
    """Return the shape of a box."""
    return tuple(span.stop - span.start for span in box)
