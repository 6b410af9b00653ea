"""Lossless compression of the source file's header.

    header − predicted header ─ sparse tokens ─────┐
    extensions ─ deflate ──────────────────────────┴▶ payload of the SRCH chunk

    payload = mode (1) · [tail] · tokens        a NIfTI header and what follows it
            | mode (1) · bytes                  any other header, stored or deflated; DICOM
                                                attributes with a dictionary of usual values
            | nothing                           the format has no header to keep

A header that violates its format is coded in the second way, so any bytes are restored.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from deepstd.coding.bytes import Cursor, encode_varint
from deepstd.container.dicom_vocabulary import VOCABULARY
from deepstd.container.nifti_prediction import LAYOUTS, STYLES, Layout, Predictor, predictor
from deepstd.container.sparse import pack_sparse, significant_bytes, unpack_sparse
from deepstd.errors import UnsupportedFormatError
from deepstd.volume import SourceHeader

MAX_HEADER_BYTES = 1 << 26  # 64 MiB
_STORED, _DEFLATED, _NIFTI, _DICOM = 0, 1, 2, 3
_BIG_ENDIAN = 1 << 2
_STYLE_SHIFT = 3
_TAIL_SHIFT = 6
_PLAIN_TAIL, _NO_TAIL, _DEFLATED_TAIL = 0, 1, 2
_NO_EXTENSIONS = bytes(4)
_RAW_DEFLATE = -15
_DICOM_FORMAT = "dicom"


def pack_source_header(source: SourceHeader, shape: Sequence[int], dtype: np.dtype) -> bytes:
    """Pack a header into the payload of the SRCH chunk, by the shortest of the methods.

    Args:
        source: format and raw header of the source file.
        shape: shape of the stored voxels.
        dtype: stored type of the voxels.

    Raises:
        UnsupportedFormatError: the header is longer than 64 MiB.
    """
    raw = source.raw
    if len(raw) > MAX_HEADER_BYTES:
        raise UnsupportedFormatError(
            f"the {source.format} header has {len(raw)} bytes, expected at most "
            f"{MAX_HEADER_BYTES}: remove its extensions"
        )
    if not raw:
        return b""
    stored = bytes([_STORED]) + raw
    deflated = bytes([_DEFLATED]) + encode_varint(len(raw)) + _deflate(raw)
    candidates = [stored, deflated]
    if source.format == _DICOM_FORMAT:
        packed = _deflate(raw, VOCABULARY)
        candidates.append(bytes([_DICOM]) + encode_varint(len(raw)) + packed)
    layout = LAYOUTS.get(source.format)
    if layout is not None and len(raw) >= layout.size:
        candidates.append(_pack_nifti(raw, layout, shape, dtype))
    return min(candidates, key=len)


def unpack_source_header(
    payload: bytes, source_format: str, shape: Sequence[int], dtype: np.dtype, name: str
) -> SourceHeader:
    """Unpack the payload of the SRCH chunk.

    Args:
        payload: the payload; empty where there is no header.
        source_format: format of the source file, a key of `SOURCE_FORMATS`.
        shape: shape of the stored voxels.
        dtype: stored type of the voxels.
        name: name of the file, for messages.

    Raises:
        DamagedError: the payload is malformed.
    """
    if not payload:
        return SourceHeader(source_format)
    cursor = Cursor(payload, name, "the source header")
    mode = cursor.byte()
    if mode == _STORED:
        return SourceHeader(source_format, cursor.take(cursor.remaining))
    of_dicom = mode == _DICOM and source_format == _DICOM_FORMAT
    if mode == _DEFLATED or of_dicom:
        size = cursor.varint(MAX_HEADER_BYTES)
        vocabulary = VOCABULARY if of_dicom else b""
        return SourceHeader(source_format, _inflate(cursor, cursor.remaining, size, vocabulary))
    layout = LAYOUTS.get(source_format)
    if mode & 3 != _NIFTI or layout is None:
        raise cursor.error(f"mode {mode} does not exist for {source_format} files")
    return SourceHeader(source_format, _unpack_nifti(cursor, mode, layout, shape, dtype))


def _pack_nifti(raw: bytes, layout: Layout, shape: Sequence[int], dtype: np.dtype) -> bytes:
    tail = raw[layout.size :]
    tail_mode, packed_tail = _pack_tail(tail)
    guesses: list[tuple[int, list[int]]] = []
    for big_endian in (False, True):
        values = layout.split(raw[: layout.size], big_endian)
        for index, style in enumerate(STYLES):
            mode = _NIFTI | index << _STYLE_SHIFT | tail_mode << _TAIL_SHIFT
            mode |= _BIG_ENDIAN * big_endian
            model = predictor(layout, style, shape, dtype, len(tail))
            guesses.append((mode, _residuals(model, values)))
    widths = layout.coding_widths()
    # Counting significant bytes ranks the guesses well enough, and is much faster than packing.
    mode, residuals = min(guesses, key=lambda guess: significant_bytes(guess[1], widths))
    return bytes([mode]) + packed_tail + pack_sparse(residuals, widths)


def _unpack_nifti(
    cursor: Cursor, mode: int, layout: Layout, shape: Sequence[int], dtype: np.dtype
) -> bytes:
    style_index = mode >> _STYLE_SHIFT & 7
    if style_index >= len(STYLES):
        raise cursor.error(f"header style {style_index} does not exist")
    style = STYLES[style_index]
    tail = _unpack_tail(cursor, mode >> _TAIL_SHIFT)
    residuals = iter(unpack_sparse(cursor, layout.coding_widths()))
    values: dict[str, list[int]] = {name: [] for name, _, _ in layout.fields}

    def restore(field: str, _: int, predicted: list[int]) -> list[int]:
        size = 1 << 8 * layout.width(field)
        actual = [(bits + next(residuals)) % size for bits in predicted]
        values[field] += actual
        return actual

    _walk(predictor(layout, style, shape, dtype, len(tail)), restore)
    return layout.join(values, bool(mode & _BIG_ENDIAN)) + tail


def _residuals(model: Predictor, values: dict[str, list[int]]) -> list[int]:
    """Return the differences of a header to its prediction, in coding order."""
    residuals: list[int] = []

    def compare(field: str, first: int, predicted: list[int]) -> list[int]:
        actual = values[field][first : first + len(predicted)]
        residuals.extend(a - p for a, p in zip(actual, predicted, strict=True))
        return actual

    _walk(model, compare)
    return residuals


def _walk(model: Predictor, answer: Callable[[str, int, list[int]], list[int]]) -> None:
    """Send a predictor the true values, the results of ``answer``, until the header is complete."""
    prediction = next(model)
    while True:
        actual = answer(*prediction)
        try:
            prediction = model.send(actual)
        except StopIteration:
            return


def _pack_tail(tail: bytes) -> tuple[int, bytes]:
    if tail == _NO_EXTENSIONS:
        return _PLAIN_TAIL, b""
    if not tail:
        return _NO_TAIL, b""
    deflated = _deflate(tail)
    return _DEFLATED_TAIL, encode_varint(len(tail)) + encode_varint(len(deflated)) + deflated


def _unpack_tail(cursor: Cursor, mode: int) -> bytes:
    if mode == _PLAIN_TAIL:
        return _NO_EXTENSIONS
    if mode == _NO_TAIL:
        return b""
    if mode == _DEFLATED_TAIL:
        size = cursor.varint(MAX_HEADER_BYTES)
        return _inflate(cursor, cursor.varint(), size)
    raise cursor.error(f"tail mode {mode} does not exist")


def _deflate(data: bytes, vocabulary: bytes = b"") -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, _RAW_DEFLATE, zdict=vocabulary)
    return compressor.compress(data) + compressor.flush()


def _inflate(cursor: Cursor, packed_size: int, size: int, vocabulary: bytes = b"") -> bytes:
    """Inflate to exactly ``size`` bytes; a damaged stream yields at most one byte more."""
    decompressor = zlib.decompressobj(_RAW_DEFLATE, zdict=vocabulary)
    try:
        data = decompressor.decompress(cursor.take(packed_size), size + 1)
    except zlib.error as error:
        raise cursor.error("a deflated part does not inflate") from error
    if len(data) != size or not decompressor.eof or decompressor.unused_data:
        raise cursor.error(f"a deflated part does not inflate to {size} bytes")
    return data
