"""Compact code for integers that are mostly zero.

    residuals (one per header element) ─▶ runs of equal code ─▶ token · values · token · values …

A token is one byte: the code in its high four bits, the run length less one in its low four.

    code 0        the next `run` residuals are zero
    code 1 … 8    each of the next `run` residuals follows in `code` bytes, two's complement
    code 9 … 14   each follows by its `code` - 8 most significant bytes; the others are zero
    code 15       the next 16 x `run` residuals are zero

Residuals after the last token are zero. Multi-byte values are little-endian. Codes 9 to 14 are for
floats that differ from a prediction in sign, exponent and a few leading bits.
"""

from __future__ import annotations

from collections.abc import Sequence

from deepstd.coding.bytes import Cursor

_LONG_SKIP = 15
_LONG_SKIP_UNIT = 16
_HIGH = 8
_MAX_RUN = 16


def pack_sparse(residuals: Sequence[int], widths: Sequence[int]) -> bytes:
    """Pack residuals modulo 2**(8 * width) into the shortest token sequence.

    Args:
        residuals: signed differences, any representative of their residue class.
        widths: bytes of each element, 1 to 8.
    """
    values = [r % (1 << 8 * w) for r, w in zip(residuals, widths, strict=True)]
    last = max((i for i, value in enumerate(values) if value), default=-1)
    values, widths = values[: last + 1], widths[: last + 1]
    codes = [_usable_codes(v, w) for v, w in zip(values, widths, strict=True)]
    steps = _shortest_path(codes)
    out = bytearray()
    position = 0
    while position < len(values):
        code, run = steps[position]
        if code == _LONG_SKIP:
            out.append(code << 4 | run // _LONG_SKIP_UNIT - 1)
        else:
            out.append(code << 4 | run - 1)
            for index in range(position, position + run):
                out += _value_bytes(values[index], widths[index], code)
        position += run
    return bytes(out)


def significant_bytes(residuals: Sequence[int], widths: Sequence[int]) -> int:
    """Count the value bytes of the tokens, a lower bound of the length of `pack_sparse`."""
    pairs = zip(residuals, widths, strict=True)
    return sum(min(_usable_codes(r % (1 << 8 * w), w).values()) for r, w in pairs)


def unpack_sparse(cursor: Cursor, widths: Sequence[int]) -> list[int]:
    """Read residuals modulo 2**(8 * width) from the rest of a payload.

    Raises:
        DamagedError: the payload is malformed.
    """
    values = [0] * len(widths)
    position = 0
    while cursor.remaining:
        code, run = divmod(cursor.byte(), 16)
        run += 1
        if code == _LONG_SKIP:
            run *= _LONG_SKIP_UNIT
        if position + run > len(widths):
            raise cursor.error("a run passes the last header element")
        if code not in (0, _LONG_SKIP):
            for index in range(position, position + run):
                values[index] = _read_value(cursor, widths[index], code)
        position += run
    return values


def _usable_codes(value: int, width: int) -> dict[int, int]:
    """Return every code that can hold a value, with the bytes that it takes."""
    codes = {0: 0} if value == 0 else {}
    signed = value - (1 << 8 * width) if value >> (8 * width - 1) else value
    for size in range(1, width + 1):
        if -(1 << 8 * size - 1) <= signed < 1 << 8 * size - 1:
            codes[size] = size
    for size in range(1, min(width, _LONG_SKIP - _HIGH)):
        if value % (1 << 8 * (width - size)) == 0:
            codes[_HIGH + size] = size
    return codes


def _shortest_path(codes: list[dict[int, int]]) -> list[tuple[int, int]]:
    """Return for every position the (code, run) that starts the shortest sequence to the end."""
    count = len(codes)
    best = [0] * (count + 1)
    steps = [(0, 0)] * count
    for start in range(count - 1, -1, -1):
        options = []
        for code in codes[start]:
            spent = 1
            for end in range(start, min(start + _MAX_RUN, count)):
                if code not in codes[end]:
                    break
                spent += codes[end][code]
                options.append((spent + best[end + 1], code, end + 1 - start))
        zeros = next((i for i in range(start, count) if 0 not in codes[i]), count) - start
        for run in range(_LONG_SKIP_UNIT, min(zeros, _MAX_RUN**2) + 1, _LONG_SKIP_UNIT):
            options.append((1 + best[start + run], _LONG_SKIP, run))
        best[start], *step = min(options)
        steps[start] = (step[0], step[1])
    return steps


def _value_bytes(value: int, width: int, code: int) -> bytes:
    whole = value.to_bytes(width, "little")
    return whole[:code] if code <= _HIGH else whole[width - (code - _HIGH) :]


def _read_value(cursor: Cursor, width: int, code: int) -> int:
    size = code if code <= _HIGH else code - _HIGH
    if size > width:
        raise cursor.error(f"a value of {size} bytes for a header element of {width}")
    data = cursor.take(size)
    if code > _HIGH:
        return int.from_bytes(data, "little") << 8 * (width - size)
    return int.from_bytes(data, "little", signed=True) % (1 << 8 * width)
