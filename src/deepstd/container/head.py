"""The HEAD chunk: the header that a reader needs before all other chunks.

    format (1) · dtype (1) · axes and flags (1) · shape (varints)
    · bundle name (0, number or length, ASCII), version (length, ASCII) · bundle digest (8)
    · [quality (4 x 3)] · [registration (4 x 1)] · [bytes of the voxels in the source (varint)]
    · [goal (1 + 4)]

Making a `Head` refuses a scan that the format cannot hold, so every file written can be read.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass

import numpy as np

from deepstd.coding.bytes import Cursor, encode_varint
from deepstd.errors import BundleError, RateError, UnsupportedFormatError, UnsupportedVersionError
from deepstd.quality import Quality
from deepstd.rate.goal import MEASURES, QualityGoal

SOURCE_FORMATS = {
    "npy": 0, "nifti1": 1, "nifti2": 2, "png": 3, "tiff": 4, "dicom": 5, "nrrd": 6,
    "metaimage": 7, "png-stack": 8, "tiff-stack": 9,
}  # fmt: skip
# Names of the bundles that come with the package. They are in most files, and coded in two bytes.
COMMON_NAMES = ("generic", "hippocampus-t1", "chest-xray")
BUNDLE_DIGEST_BYTES = 8
MAX_AXIS = 1 << 20
MAX_VOXELS = 1 << 36
MAX_NAME = 64
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+-]*")
_KINDS = "uifb"
_ITEM_SIZES = {"u": (1, 2, 4, 8), "i": (1, 2, 4, 8), "f": (2, 4, 8), "b": (1,)}
_MOST_ITEM_BYTES = 8
_BIG_ENDIAN = 1 << 4
_HAS_QUALITY = 1 << 3
_HAS_REGISTRATION = 1 << 4
_NONNEGATIVE = 1 << 5
_HAS_SOURCE_BYTES = 1 << 6
_HAS_GOAL = 1 << 7
_QUALITY_BYTES, _GOAL_BYTES = 3, 5
_NAN_FIGURE = b"\x00\xc0\x7f"
REGISTRATION_BYTES = 4
LARGEST_FIGURE = 3.4e38
"""A larger metric is stored as infinite: the limit of float32."""
_SMALLEST_GOAL = 1e-37
_NCC_STEPS = 127  # per unit of correlation
_CYCLE_STEPS = 32  # per voxel


@dataclass(frozen=True)
class BundleRef:
    """Reference to the model bundle of a file.

    Attributes:
        name: small letters, digits, ``.``, ``_`` and ``-``, at most 64.
        version: begins with a digit, at most 64 ASCII characters.
        digest: first 8 bytes of the SHA-256 that identifies the bundle.
    """

    name: str
    version: str
    digest: bytes

    def __post_init__(self) -> None:
        for text, pattern in ((self.name, _NAME), (self.version, _VERSION)):
            if len(text) > MAX_NAME or not pattern.fullmatch(text):
                raise BundleError(
                    f"{text!r} cannot name a bundle or its version: expected at most {MAX_NAME} "
                    f"characters of the form {pattern.pattern}"
                )
        if len(self.digest) != BUNDLE_DIGEST_BYTES:
            raise BundleError(
                f"a bundle digest has {BUNDLE_DIGEST_BYTES} bytes, got {len(self.digest)}"
            )


NO_BUNDLE = BundleRef("none", "0", bytes(BUNDLE_DIGEST_BYTES))
"""Bundle reference in files that need no bundle."""


@dataclass(frozen=True)
class Registration:
    """Quality of a scan's registration to the template of its bundle, to about a hundredth.

    For a scan of several frames, means over the frames with a deformation field.

    Attributes:
        ncc_before: correlation with the template, aligned by the headers alone; -1 to 1.
        ncc_after: correlation with the template, aligned by the deformation field; -1 to 1.
        cycle_error_voxels: mean error of the forward field followed by the backward field, in
            voxels of the template; at most 255 / 32.
        folding_percent: share of the template where the backward field folds.
    """

    ncc_before: float
    ncc_after: float
    cycle_error_voxels: float
    folding_percent: float

    def pack(self) -> bytes:
        """Pack the metrics into one byte each."""
        cycle = min(max(self.cycle_error_voxels, 0.0) * _CYCLE_STEPS, 255.0)
        folding = math.sqrt(min(max(self.folding_percent, 0.0), 100.0) / 100.0) * 255.0
        correlations = [
            min(max(round((ncc + 1.0) * _NCC_STEPS), 0), 2 * _NCC_STEPS)
            for ncc in (self.ncc_before, self.ncc_after)
        ]
        # Rounded up, so that a small error is never stored as zero.
        return bytes([*correlations, math.ceil(cycle), math.ceil(folding)])

    @staticmethod
    def unpack(data: bytes) -> Registration:
        """Unpack 4 bytes, the inverse of `pack`."""
        before, after = (byte / _NCC_STEPS - 1.0 for byte in data[:2])
        return Registration(before, after, data[2] / _CYCLE_STEPS, 100.0 * (data[3] / 255.0) ** 2)


@dataclass(frozen=True)
class Head:
    """Contents of the HEAD chunk.

    Attributes:
        source_format: a key of `SOURCE_FORMATS`.
        dtype: stored voxel type, byte order included.
        shape: shape of the stored array, 2 to 4 axes; a fourth axis holds frames.
        bundle: the bundle needed to decode.
        quality: error metrics measured by the encoder, None where not measured. A file stores the
            upper 24 bits of a float32, accurate to 2**-16; the largest error is rounded up.
        registration: quality of the registration, None where there is no field or no room.
        nonnegative: True where the type has negative values, but no voxel except special values is
            negative. Restored voxels are then clipped at zero.
        source_nbytes: bytes of the voxels in their source file, where its type differs from
            ``dtype``; else None.
        goal: quality that was asked for, to the precision of a float32; None where none was.
    """

    source_format: str
    dtype: np.dtype
    shape: tuple[int, ...]
    bundle: BundleRef
    quality: Quality | None = None
    registration: Registration | None = None
    nonnegative: bool = False
    source_nbytes: int | None = None
    goal: QualityGoal | None = None

    def __post_init__(self) -> None:
        if self.source_format not in SOURCE_FORMATS:
            raise UnsupportedFormatError(
                f"source format {self.source_format!r} cannot be stored: expected one of "
                f"{', '.join(SOURCE_FORMATS)}"
            )
        if self.dtype.itemsize not in _ITEM_SIZES.get(self.dtype.kind, ()):
            raise UnsupportedFormatError(
                f"voxels of type {self.dtype} cannot be stored: expected integers, booleans or "
                "floats of at most 64 bits"
            )
        if not 2 <= len(self.shape) <= 4 or not all(1 <= n <= MAX_AXIS for n in self.shape):
            raise UnsupportedFormatError(
                f"shape {self.shape} cannot be stored: expected 2 to 4 axes of 1 to {MAX_AXIS}"
            )
        if self.voxel_count > MAX_VOXELS:
            raise UnsupportedFormatError(
                f"shape {self.shape} cannot be stored: {self.voxel_count} voxels, expected at most "
                f"{MAX_VOXELS}. Split the scan"
            )
        most = self.voxel_count * _MOST_ITEM_BYTES
        if self.source_nbytes is not None and not 1 <= self.source_nbytes <= most:
            raise UnsupportedFormatError(
                f"{self.source_nbytes} bytes cannot be those of {self.voxel_count} voxels"
            )

    @property
    def frame_count(self) -> int:
        """Number of separately coded frames: the length of a fourth axis, otherwise 1."""
        return self.shape[3] if len(self.shape) == 4 else 1

    @property
    def voxel_count(self) -> int:
        """Number of voxels of all frames."""
        return math.prod(self.shape)

    @property
    def stored_bytes(self) -> int:
        """Bytes of the voxels as stored in the source, the numerator of the compression ratio."""
        if self.source_nbytes is not None:
            return self.source_nbytes
        return self.voxel_count * self.dtype.itemsize

    def pack(self) -> bytes:
        """Pack the payload of the HEAD chunk."""
        flags = len(self.shape) | (_HAS_QUALITY if self.quality else 0)
        flags |= _HAS_REGISTRATION if self.registration else 0
        flags |= _NONNEGATIVE if self.nonnegative else 0
        flags |= 0 if self.source_nbytes is None else _HAS_SOURCE_BYTES
        flags |= _HAS_GOAL if self.goal else 0
        out = bytearray((SOURCE_FORMATS[self.source_format], pack_dtype(self.dtype), flags))
        for length in self.shape:
            out += encode_varint(length)
        name = self.bundle.name
        out += bytes([0, COMMON_NAMES.index(name)]) if name in COMMON_NAMES else _pack_text(name)
        out += _pack_text(self.bundle.version)
        out += self.bundle.digest
        if self.quality is not None:
            out += _pack_figure(self.quality.mae)
            out += _pack_figure(self.quality.max_error, upwards=True)
            out += _pack_figure(self.quality.psnr) + _pack_figure(self.quality.ssim)
        if self.registration is not None:
            out += self.registration.pack()
        if self.source_nbytes is not None:
            out += encode_varint(self.source_nbytes)
        if self.goal is not None:
            value = min(max(self.goal.value, _SMALLEST_GOAL), LARGEST_FIGURE)
            out += struct.pack("<Bf", MEASURES.index(self.goal.measure), value)
        return bytes(out)

    @staticmethod
    def unpack(payload: bytes, name: str) -> Head:
        """Read a HEAD payload of file ``name``.

        Raises:
            DamagedError: a field is malformed or out of bounds.
            UnsupportedVersionError: the source format is not known to this release.
        """
        cursor = Cursor(payload, name, "the head")
        source_format = _source_format(cursor.byte(), name)
        dtype = unpack_dtype(cursor)
        flags = cursor.byte()
        shape = tuple(cursor.varint(MAX_AXIS) for _ in range(flags & 7))
        bundle_name = _unpack_text(cursor) or _common_name(cursor.byte(), name)
        bundle_version = _unpack_text(cursor)
        digest = cursor.take(BUNDLE_DIGEST_BYTES)
        quality = None
        if flags & _HAS_QUALITY:
            quality = Quality(*[_unpack_figure(cursor.take(_QUALITY_BYTES)) for _ in range(4)])
        registration = None
        if flags & _HAS_REGISTRATION:
            registration = Registration.unpack(cursor.take(REGISTRATION_BYTES))
        source_nbytes = None
        if flags & _HAS_SOURCE_BYTES:
            source_nbytes = cursor.varint(MAX_VOXELS * _MOST_ITEM_BYTES)
        goal = _unpack_goal(cursor) if flags & _HAS_GOAL else None
        cursor.finish()
        try:
            bundle = BundleRef(bundle_name, bundle_version, digest)
            figures = quality, registration, bool(flags & _NONNEGATIVE), source_nbytes, goal
            return Head(source_format, dtype, shape, bundle, *figures)
        except (BundleError, UnsupportedFormatError) as error:
            raise cursor.error(str(error)) from error


def _source_format(code: int, name: str) -> str:
    for source_format, known in SOURCE_FORMATS.items():
        if known == code:
            return source_format
    raise _unknown(f"source format {code}", name)


def _common_name(number: int, name: str) -> str:
    if number >= len(COMMON_NAMES):
        raise _unknown(f"bundle number {number}", name)
    return COMMON_NAMES[number]


def _unknown(what: str, name: str) -> UnsupportedVersionError:
    return UnsupportedVersionError(
        f"{name}: {what} is not known to this release. Upgrade DeepSTD (`pip install -U deepstd`)."
    )


def pack_dtype(dtype: np.dtype) -> int:
    """Return the byte that encodes a stored type."""
    big = _BIG_ENDIAN if dtype.str[0] == ">" else 0
    return _KINDS.index(dtype.kind) | (dtype.itemsize.bit_length() - 1) << 2 | big


def unpack_dtype(cursor: Cursor) -> np.dtype:
    """Read the byte of a stored type.

    Raises:
        DamagedError: there is no such type.
    """
    code = cursor.byte()
    kind, size = _KINDS[code & 3], 1 << (code >> 2 & 3)
    big = bool(code & _BIG_ENDIAN)
    if code >= 2 * _BIG_ENDIAN or size not in _ITEM_SIZES[kind] or (big and size == 1):
        raise cursor.error(f"voxel type {code:#04x} does not exist")
    return np.dtype(f"{'>' if big else '<'}{kind}{size}")


def _pack_text(text: str) -> bytes:
    return encode_varint(len(text)) + text.encode("ascii")


def _unpack_text(cursor: Cursor) -> str:
    data = cursor.take(cursor.varint(MAX_NAME))
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise cursor.error("a name is not ASCII") from error


def _unpack_goal(cursor: Cursor) -> QualityGoal:
    """Read the goal; its value is the shortest decimal number of its float32."""
    code, value = struct.unpack("<Bf", cursor.take(_GOAL_BYTES))
    if code >= len(MEASURES):
        raise cursor.error(f"measure {code} of quality does not exist")
    try:
        return QualityGoal(MEASURES[code], float(str(np.float32(value))))
    except RateError as error:
        raise cursor.error(str(error)) from error


def _pack_figure(value: float, upwards: bool = False) -> bytes:
    """Return the upper 24 bits of a float32, rounded to nearest or, if not negative, up."""
    with np.errstate(over="ignore"):
        single = np.float32(value)
    if np.isnan(single):
        return _NAN_FIGURE
    if upwards and float(single) < value:
        single = np.nextafter(single, np.float32(np.inf))
    # A carry out of the mantissa correctly raises the exponent, at most to infinity.
    bits = int(single.view(np.uint32)) + (0xFF if upwards else 0x80)
    return (bits >> 8).to_bytes(_QUALITY_BYTES, "little")


def _unpack_figure(data: bytes) -> float:
    return struct.unpack("<f", b"\0" + data)[0]
