"""A DICOM object: its header, its check as a grey image, its stored pixels.

    item ─ header ─▶ data set without pixels ─ Image.of ─▶ Image, checked against the file's size
    Image ─ pixels ─▶ stored values (frame, row, column)

Messages of pydicom quote values, which may be a patient's. No message here repeats them.
"""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstd.errors import DeepSTDError, InputError, MissingExtraError, UnsupportedFormatError
from deepstd.io.dicom.classes import is_label_map, is_segmentation
from deepstd.io.dicom.encodings import (
    DEFLATED,
    check_decodable,
    check_whole,
    read_header,
    read_pixels,
)
from deepstd.io.dicom.items import Item
from deepstd.io.dicom.unpacked import MOST_HEADER_BYTES

if TYPE_CHECKING:
    from pydicom import Dataset

INSTALL = 'pip install "deepstd[dicom]"'
LOSSY = "01"
"""Value of *Lossy Image Compression* in images that were compressed lossily."""
# JPEG baseline, JPEG extended, JPEG-LS near-lossless.
_LOSSY_SYNTAXES = tuple(f"1.2.840.10008.1.2.4.{end}" for end in (50, 51, 81))
_DIRECTORY = "1.2.840.10008.1.3.10"
_MOST_FRAMES = 1 << 20  # bounds the work on a damaged header
_LEAST_COMPRESSED_FRAME = 8  # bytes of the header of a frame's item
_MAX_DEFLATE_RATIO = 1032  # largest expansion by DEFLATE
_IMPORT_FAILED = re.compile(
    r"No module named|cannot import name|DLL load failed|shared object|undefined symbol"
)
_IMAGES = "Image Storage"  # end of the names of image classes


@dataclass(frozen=True)
class Image:
    """A DICOM object that holds one grey value a pixel.

    Attributes:
        item: file or member of the object.
        dataset: data set without the pixels.
        rows, columns, frames: size in pixels and number of frames; of a mosaic, those of its tiles.
        dtype: type of a stored pixel, native byte order.
        bits: bits that carry a value, *Bits Stored*.
        series: *Series Instance UID*, or else the folder's name.
        instance: *SOP Instance UID*, or else the item's label.
        grid: number of frames along each side of a stored plane: 1 but for mosaics.
        packed: True where a pixel is stored as a single bit.
    """

    item: Item
    dataset: Dataset
    rows: int
    columns: int
    frames: int
    dtype: np.dtype
    bits: int
    series: str
    instance: str
    grid: int = 1
    packed: bool = False

    @property
    def is_segmentation(self) -> bool:
        """True for a segmentation, whose frames are of segments."""
        return is_segmentation(text(self.dataset, "SOPClassUID"))

    @property
    def is_multi_frame(self) -> bool:
        """True where several frames are stored one after the other."""
        return self.frames > 1 and self.grid == 1

    @property
    def stored_shape(self) -> tuple[int, int, int]:
        """Number of frames, rows and columns as they are stored."""
        if self.grid == 1:
            return self.frames, self.rows, self.columns
        return 1, self.grid * self.rows, self.grid * self.columns

    @property
    def stored_bytes(self) -> int:
        """Size of the decoded pixels in bytes."""
        return math.prod(self.stored_shape) * self.dtype.itemsize

    def nbytes_of(self, frames: int) -> int:
        """Return the bytes of ``frames`` frames as they are stored, without compression."""
        bits = 1 if self.packed else 8 * self.dtype.itemsize
        return -(-frames * self.rows * self.columns * bits // 8)

    @property
    def modality(self) -> str:
        """Modality, such as "CT"; "?" where it is not stated."""
        return text(self.dataset, "Modality") or "?"

    @property
    def photometric(self) -> str:
        """MONOCHROME1 or MONOCHROME2; of a map of labels perhaps PALETTE COLOR."""
        return text(self.dataset, "PhotometricInterpretation")

    @staticmethod
    def of(item: Item, dataset: Dataset) -> Image:
        """Check a header and return the object.

        Raises:
            UnsupportedFormatError: the object is no grey image, or is stored in an unsupported way.
            InputError: the header is damaged.
        """
        try:
            return _checked(item, dataset)
        except DeepSTDError as error:
            raise type(error)(f"{item.label}: {error}") from error


def header(item: Item) -> Dataset:
    """Read a data set up to its pixels.

    Raises:
        InputError: the item is not DICOM, or damaged.
        MissingExtraError: pydicom is not installed.
    """
    require_pydicom()
    with _quiet(item, "read as DICOM"), item.beginning() as stream:
        dataset = read_header(stream, item.label)
        dataset.walk(lambda _, element: element.value)  # parse now, so that damage raises here
        return dataset


def series_of(item: Item, dataset: Dataset) -> str:
    """Return *Series Instance UID*, or where there is none, the folder's name."""
    return text(dataset, "SeriesInstanceUID") or f"in {item.folder}"


def pixels(image: Image) -> np.ndarray:
    """Return stored values of all frames, shape (frames, rows, columns), before rescaling.

    Raises:
        InputError: the pixels are damaged, cut short or absent.
        MissingExtraError: their compression needs a decoder that is not installed.
    """
    from pydicom.uid import UID

    label, syntax = image.item.label, _transfer_syntax(image.dataset)
    most = _most_bytes(image.stored_bytes)
    if image.packed and not _is_encapsulated(syntax):
        with _quiet(image.item, "decoded"), image.item.open() as stream:
            check_whole(stream, most, image.nbytes_of(image.frames), label)
    with _quiet(image.item, "decoded"), image.item.open() as stream:
        try:
            values = read_pixels(stream, syntax, most, label)
        except RuntimeError as error:
            if "missing dependencies" in str(error):
                raise MissingExtraError(
                    f"{label}: no decoder for {UID(syntax).name} is installed: {INSTALL}"
                ) from error
            if _IMPORT_FAILED.search(str(error)):  # pydicom passes on the message alone
                raise _broken(image.item) from error
            raise
    declared = image.stored_shape
    if values.size != math.prod(declared) or values.shape[-2:] != declared[1:]:
        raise InputError(
            f"{label}: decodes to {values.shape} pixels, its header declares "
            f"{declared}. It is damaged"
        )
    values = values.reshape(declared).astype(image.dtype, copy=False)
    if image.grid == 1:
        return values
    tiles = values.reshape(image.grid, image.rows, image.grid, image.columns).swapaxes(1, 2)
    return tiles.reshape(-1, image.rows, image.columns)[: image.frames]


def require_pydicom() -> None:
    """Raise a MissingExtraError, with what to install, where pydicom is missing."""
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(f"DICOM needs pydicom: {INSTALL}") from error


def was_lossy(dataset: Dataset) -> bool:
    """Return True if an image states that it was compressed lossily once, or is stored so."""
    stated = text(dataset, "LossyImageCompression") == LOSSY
    return stated or _transfer_syntax(dataset) in _LOSSY_SYNTAXES


def text(dataset: Dataset, keyword: str) -> str:
    """Return a value as text, empty where it is absent or has several."""
    value = dataset.get(keyword)
    return value.strip() if isinstance(value, str) else ""


def number(dataset: Dataset, keyword: str) -> float | None:
    """Return a finite number, or None where the element is absent or empty.

    Raises:
        InputError: the value is something else.
    """
    found = numbers(dataset, keyword, 1)
    return None if found is None else found[0]


def numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Return ``count`` finite numbers, or None where the element is absent or empty.

    Raises:
        InputError: the value is something else.
    """
    value: Any = dataset.get(keyword)
    if value is None or value == "" or (hasattr(value, "__len__") and len(value) == 0):
        return None
    try:
        several: Any = [value] if np.isscalar(value) else value
        values = [float(v) for v in several]
    except (TypeError, ValueError):
        values = [math.nan]
    if len(values) != count or not all(map(math.isfinite, values)):
        raise InputError(f"{keyword} is not {count} finite numbers. The header is damaged")
    return tuple(values)


def _checked(item: Item, dataset: Dataset) -> Image:
    if text(dataset.file_meta, "MediaStorageSOPClassUID") == _DIRECTORY:
        raise UnsupportedFormatError("a DICOMDIR, not an image. Give its folder instead")
    sizes = [_whole(dataset, keyword) for keyword in ("Rows", "Columns", "BitsAllocated")]
    if any(size is None for size in sizes):
        raise _without_size(dataset)
    rows, columns, allocated = (size or 0 for size in sizes)
    photometric, sop_class = (
        text(dataset, keyword) for keyword in ("PhotometricInterpretation", "SOPClassUID")
    )
    # The palette of a map of labels only says how to show it.
    is_grey = photometric.startswith("MONOCHROME") or is_label_map(sop_class)
    if (_whole(dataset, "SamplesPerPixel") or 1) != 1 or not is_grey:
        raise UnsupportedFormatError(
            f"a colour image ({photometric or 'unknown'}) is not supported: expected one grey "
            "value a pixel. Keep it as it is, or save each channel as a scan of its own"
        )
    packed = allocated == 1 and is_segmentation(sop_class)
    if allocated not in (8, 16, 32) and not packed:
        raise UnsupportedFormatError(
            f"pixels of {allocated} bits are not supported: expected 8, 16 or 32"
        )
    signed = _whole(dataset, "PixelRepresentation")
    if signed not in (0, 1):
        raise UnsupportedFormatError(
            "a map of floats, or damaged: PixelRepresentation is missing. Convert it to NIfTI"
        )
    stored = _whole(dataset, "BitsStored") or allocated
    top = _whole(dataset, "HighBit")
    if not 1 <= stored <= allocated or top not in (None, stored - 1):
        raise UnsupportedFormatError(
            f"pixels of {stored} bits up to bit {top} of {allocated} are not supported"
        )
    frames = _whole(dataset, "NumberOfFrames") or 1
    if rows < 1 or columns < 1 or not 1 <= frames <= _MOST_FRAMES:
        raise InputError(f"the header declares {frames} frames of {rows} x {columns} pixels")
    check_decodable(_transfer_syntax(dataset))
    _check_size(item, dataset, frames, -(-frames * rows * columns * allocated // 8))
    instance = text(dataset, "SOPInstanceUID")
    return Image(
        item,
        dataset,
        rows,
        columns,
        frames,
        np.dtype(f"{'i' if signed and not packed else 'u'}{max(8, allocated) // 8}"),
        stored,
        series_of(item, dataset),
        instance or item.label,
        packed=packed,
    )


def _check_size(item: Item, dataset: Dataset, frames: int, pixel_bytes: int) -> None:
    """Raise an InputError where the file's size contradicts the frames that its header declares."""
    syntax, size = _transfer_syntax(dataset), item.nbytes
    least = frames * _LEAST_COMPRESSED_FRAME
    if not _is_encapsulated(syntax):
        least = pixel_bytes // (_MAX_DEFLATE_RATIO if syntax == DEFLATED else 1)
    if least > size:
        raise InputError(
            f"the header declares {frames} frames, {pixel_bytes} bytes in all, the file has "
            f"{size}. It is damaged or cut short"
        )
    if item.member is not None and size > _most_bytes(pixel_bytes):
        raise InputError(f"unpacks to {size} bytes, its image has {pixel_bytes}. Unpack it first")


def _most_bytes(pixel_bytes: int) -> int:
    """Return the largest size of an object in bytes: a header, and pixels that coding enlarged."""
    return MOST_HEADER_BYTES + 2 * pixel_bytes


def _whole(dataset: Dataset, keyword: str) -> int | None:
    value = number(dataset, keyword)
    if value is not None and value != int(value):
        raise InputError(f"{keyword} is not a whole number. The header is damaged")
    return None if value is None else int(value)


def _without_size(dataset: Dataset) -> DeepSTDError:
    """Return the error for an object that does not state the size of its image."""
    from pydicom.uid import UID

    name = UID(text(dataset, "SOPClassUID")).name
    if not name or name[0].isdigit() or name.endswith(_IMAGES):
        return InputError(
            "the DICOM header ends before it says how large the image is. The file is cut short"
        )
    return UnsupportedFormatError(f"a DICOM object without an image ({name})")


def _transfer_syntax(dataset: Dataset) -> str:
    return text(dataset.file_meta, "TransferSyntaxUID")


def _is_encapsulated(syntax: str) -> bool:
    """Return True if a transfer syntax compresses pixels frame by frame."""
    from pydicom.uid import UID

    uid = UID(syntax)
    return bool(uid) and uid.is_transfer_syntax and uid.is_encapsulated


def _broken(item: Item) -> MissingExtraError:
    """Return the error for an installed decoder or package that cannot be loaded."""
    return MissingExtraError(
        f"{item.label}: a package of this installation cannot be loaded. Install it again: "
        f"{INSTALL.replace('install', 'install --force-reinstall')}"
    )


@contextmanager
def silenced() -> Iterator[None]:
    """Suppress messages of pydicom, which may quote a patient."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _quiet(item: Item, done: str) -> Iterator[None]:
    """Name the item in errors and suppress messages of a library, which may quote a patient."""
    try:
        with silenced():
            yield
    except DeepSTDError:
        raise
    except MemoryError as error:
        raise InputError(f"{item.label}: is larger than the free memory") from error
    except ImportError as error:
        raise _broken(item) from error
    except Exception as error:
        raise InputError(
            f"{item.label}: cannot be {done} ({type(error).__name__}). It is damaged, cut short or "
            "of another kind: copy or export it again"
        ) from error
