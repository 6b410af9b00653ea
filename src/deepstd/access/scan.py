"""A compressed scan that is read in parts: `deepstd.open`.

path or URL ─ open ─▶ Scan ─┬ scan[10:20, :, 30] ─▶ voxels of a region
                            ├ scan.region(…), scan.level(n), scan.volume() ─▶ Volume
                            ├ np.asarray(scan), scan.nifti(), scan.sitk() ─▶ the whole scan
                            └ pickle, fork ─▶ the same file, opened again

A scan keeps no file open, and nothing that belongs to one process.
"""

from __future__ import annotations

import math
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstd import io, preflight
from deepstd.access.blocks import (
    Blocks,
    ExactBlocks,
    LayeredBlocks,
    LossyBlocks,
    SpecialBlocks,
)
from deepstd.access.selection import Selection, parse_region
from deepstd.access.stored import StoredScan
from deepstd.cache import ByteCache
from deepstd.codec import layered, without_bundle
from deepstd.codec.codec import Codec
from deepstd.codec.shared import codec_for
from deepstd.errors import InputError, RegionError, named
from deepstd.inspection import AUTO, error_scale_of, quality_of
from deepstd.volume import SourceHeader, Volume

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import DTypeLike

CACHE_BYTES = 1 << 29
"""Most bytes of decoded parts that a scan keeps, 512 MiB."""


def open(
    source: str | os.PathLike[str],
    *,
    model: str = AUTO,
    device: str = "cpu",
    lossy: bool = False,
) -> Scan:
    """Open a .dstd file to read parts of its scan.

    The header and the places of the parts are read. Voxels are decoded when they are asked for.

    Args:
        source: path or URL of a .dstd file, or "-" for standard input.
        model: name or folder of the model bundle; "auto" finds the bundle that the file names.
        device: "auto", "cpu", "cuda" or "cuda:N".
        lossy: True to leave out the exact part of a file that has one.

    Raises:
        ContainerError: the source is no .dstd file, cut off, or its header is damaged.
        InputError: the source cannot be read.
        DeviceError: the device is not supported.
        MissingExtraError: a package for the URL's scheme is not installed.
    """
    return Scan(source, model=model, device=device, lossy=lossy)


class Scan:
    """A compressed scan, of which parts are decoded; made by `deepstd.open`.

    Basic indexing with integers, slices and an ellipsis gives voxels as NumPy does, in the stored
    type: those that the whole decoding has at these places. ``np.asarray(scan)`` is the whole scan.
    A scan may be shared by threads, used after a fork, and pickled; a copy opens the file again.

    Attributes:
        name: path or URL of the file, without credentials.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        model: str = AUTO,
        device: str = "cpu",
        lossy: bool = False,
    ) -> None:
        preflight.check_devices(device)
        self._stored = StoredScan(source)
        self._model, self._device = model, device
        self._exactly = self._stored.layered and not lossy
        self.name = self._stored.name
        self._begin()

    def _begin(self) -> None:
        """Begin with nothing decoded."""
        self._closed = False
        self._cache = ByteCache(CACHE_BYTES)
        self._blocks: Blocks | None = None
        self._process, self._lock = os.getpid(), threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        if self._stored.ranges.place == io.STREAM:
            raise InputError(
                "a scan from standard input cannot be pickled. Save it to a file first"
            )
        own = ("_stored", "_model", "_device", "_exactly", "name")
        return {name: getattr(self, name) for name in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def __enter__(self) -> Scan:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop all decoded parts; voxels cannot be read any more."""
        self._cache.clear()
        self._blocks, self._closed = None, True

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the stored array, 2 to 4 axes; a fourth axis holds frames."""
        return self._stored.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return self._stored.head.voxel_count

    @property
    def dtype(self) -> np.dtype:
        """Stored type, byte order included."""
        return self._stored.head.dtype

    @property
    def affine(self) -> np.ndarray | None:
        """Voxel-to-world matrix, (4, 4) float64, RAS+ in millimetres; None without geometry."""
        affine = self._stored.affine
        return None if affine is None else affine.copy()

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Voxel size along each spatial axis in millimetres; None without geometry."""
        affine = self._stored.affine
        if affine is None:
            return None
        return tuple(float(s) for s in np.linalg.norm(affine[:3, : min(self.ndim, 3)], axis=0))

    @property
    def header(self) -> SourceHeader:
        """Header of the file that was compressed."""
        return self._stored.source

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the scan that a user should know."""
        return self._stored.description.notes

    @property
    def bytes_read(self) -> int:
        """Bytes that this object has read of the file so far."""
        return self._stored.ranges.nbytes_read

    @property
    def metadata(self) -> dict[str, Any]:
        """Facts on the scan that its file states, as plain values.

        Format of the source, bundle, bytes, ratio, slope and intercept from stored to real-world
        values, their unit, the stated quality in real-world values (None where not stated), and
        whether voxels come back exactly.
        """
        stored, head = self._stored, self._stored.head
        slope, intercept = io.scale_of(stored.source)
        return {
            "source_format": head.source_format,
            "bundle": f"{head.bundle.name} {head.bundle.version}",
            "file_bytes": stored.ranges.size,
            "ratio": head.stored_bytes / stored.ranges.size,
            "slope": slope,
            "intercept": intercept,
            "unit": error_scale_of(stored.description).unit,
            "quality": quality_of(stored.description),
            "exact": self._exactly or stored.is_exact,
            "notes": list(self.notes),
        }

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        told = [repr(self.name), f"shape={self.shape}", f"dtype={self.dtype}"]
        if self.spacing is not None:
            told.append(f"spacing=({', '.join(f'{length:.4g}' for length in self.spacing)}) mm")
        return f"Scan({', '.join(told)}{', closed' if self._closed else ''})"

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return the voxels that an index selects.

        Args:
            key: integers, slices and at most one ellipsis, as NumPy's basic indexing has them.

        Raises:
            RegionError: an integer is out of range, or the index is of another kind.
            DamagedError: a part of the file that the voxels need is damaged.
        """
        return self._selected(Selection.of(key, self.shape))

    def _selected(self, chosen: Selection) -> np.ndarray:
        if chosen.is_empty:
            return np.empty(chosen.shape, self.dtype)
        box = chosen.box
        if all(span.stop - span.start == n for span, n in zip(box, self.shape, strict=True)):
            voxels = self.volume().voxels
        else:
            count = math.prod(span.stop - span.start for span in box)
            preflight.check_part(self._stored.description, count, self._device)
            with self._locked(), named(self.name):
                voxels = self._opened().block(box)
        # A copy, so that voxels beside the selected ones do not stay in memory.
        return np.array(voxels[chosen.inner])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("a compressed scan cannot become an array without a copy")
        return np.asarray(self.volume().voxels, dtype=dtype)

    def region(self, key: Any) -> Volume:
        """Return a region as a scan, with the geometry and grey scale of its place.

        Axes with a single index keep length one. DICOM data sets of single frames are left out.

        Args:
            key: as for an index, with steps above zero; or its text, such as "10:20,:,30".

        Raises:
            RegionError: an integer is out of range, the key is of another kind or no region, the
                region is empty, or a step is negative.
            DamagedError: a part of the file that the region needs is damaged.
        """
        chosen = Selection.of(parse_region(key) if isinstance(key, str) else key, self.shape)
        chosen = Selection(chosen.spans, frozenset())
        if chosen.is_empty:
            raise RegionError(f"{self.name}: the region has no voxels. The scan is {self._extent}")
        if any(span.step < 0 for span in chosen.spans):
            raise RegionError("a region with a geometry cannot run backwards: use steps above zero")
        spans = [range(s[0], s[-1] + 1, s.step) for s in chosen.spans]
        source = io.cropped(self._stored.source, self.shape, spans)
        return Volume(self._selected(chosen), io.affine_of(source), source, self.notes)

    @property
    def _extent(self) -> str:
        return " x ".join(map(str, self.shape))

    def level(self, number: int) -> Volume:
        """Return the scan at half (1), a quarter (2) … of its resolution; level 0 is the whole.

        The tiles of the finest level are not read. Axes with thick voxels are halved later. Of a
        layered file it is the lossy part; of a lossless file it is every 2ⁿ-th voxel.

        Raises:
            InputError: the scan has fewer levels.
            ContainerError: a part that is read is damaged.
        """
        if not number:
            return self.volume()
        with self._locked():
            beginning = self._stored.beginning()
            preflight.check_restoring(beginning, None, self._device, number)
            if without_bundle.is_without_bundle(beginning):
                return without_bundle.decode(beginning, number)
            return self._codec().preview(beginning, number)

    def volume(self) -> Volume:
        """Return the whole scan, decoded and checked against the hash of the file.

        Raises:
            ContainerError: the file is damaged.
            InputError: there is too little memory.
        """
        with self._locked():
            container = self._stored.container(lossy=not self._exactly)
            preflight.check_restoring(container, None, self._device, 0)
            if container.exact_part is None and without_bundle.is_without_bundle(container):
                return without_bundle.decode(container)
            if without_bundle.is_without_bundle(container):
                return layered.decode(container, lambda: without_bundle.decode(container))
            return self._codec().decode(container)

    def nifti(self) -> Any:
        """Return the whole scan as an image of nibabel, as it would be written to a .nii file.

        Raises:
            ContainerError: the file is damaged.
        """
        return io.nibabel_image(self.volume())

    def sitk(self) -> Any:
        """Return the whole scan as an image of SimpleITK, in real-world values.

        Raises:
            ContainerError: the file is damaged.
            MissingExtraError: SimpleITK is not installed.
        """
        return io.sitk_image(self.volume())

    def _locked(self) -> threading.RLock:
        """Return the lock of this process."""
        if self._closed:
            raise InputError(f"{self.name}: the scan is closed. Open it again")
        if self._process != os.getpid():  # a thread of the parent may have held the lock
            self._process, self._lock = os.getpid(), threading.RLock()
        return self._lock

    def _opened(self) -> Blocks:
        """Return the decoder of parts, made at first use."""
        if self._blocks is None:
            if self._exactly:
                self._blocks = LayeredBlocks(
                    self._stored, lambda: self._lossy(unfiltered=True), self._cache
                )
            else:
                self._blocks = self._lossy(unfiltered=False)
        return self._blocks

    def _lossy(self, *, unfiltered: bool) -> Blocks:
        """Return the decoder of parts of the file without its exact part."""
        stored, cache = self._stored, self._cache
        if stored.index.exact is not None:
            return ExactBlocks(stored, cache)
        if stored.is_without_texture:
            return SpecialBlocks(stored, cache)
        return LossyBlocks(stored, self._codec().model, cache, unfiltered=unfiltered)

    def _codec(self) -> Codec:
        """Return the codec of the file's bundle, which scans of a process share."""
        return codec_for(self._stored.description, self._model, self._device)
