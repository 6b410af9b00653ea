"""Rows of results: one codec on one scan at one size.

Row ─ append ─▶ results.jsonl, one JSON object per line ─ load ─▶ complete rows
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from deepstd.errors import InputError

OURS = "DeepSTD"
LOSSLESS = "lossless"
OK, CANNOT, MISSING, FAILED = "ok", "cannot", "not available", "failed"
INFINITY = "inf"
_LEAST_FILL = 0.97
_ALWAYS = ("scan", "codec", "target", "allowed")


@dataclass(frozen=True)
class Row:
    """Result of one codec on one scan at one size.

    Attributes:
        scan: name of the scan.
        codec: name of a reference codec, or "DeepSTD" with the parts switched off.
        target: requested size as text; "lossless" for a lossless codec.
        allowed: allowed bytes; for a lossless codec, bytes of the stored voxels.
        nbytes: bytes of the whole file, or of a reference codec's codestreams; None without one.
        mae, rmse, max_error: errors, in the unit that ``definitions`` names or stored units.
        psnr: PSNR in dB.
        ssim: structural similarity, at most 1.
        mae_fg, rmse_fg, max_error_fg, psnr_fg, ssim_fg: the same metrics over the foreground.
        encode_s: seconds to compress; for a reference codec, of its final encoding alone.
        decode_s: seconds to decompress.
        shape: True where the file has a deformation field; None for reference codecs.
        encode_peak_gib: peak memory of the compressing process, where measured.
        decode_peak_gib: peak memory of the decompressing process, where measured.
        note: reason why there is no result, or a remark on it.
        status: "ok", "cannot" (the size is out of reach), "not available" or "failed".
        digest: hash of the scan's files, independent of their names.
        model: the requested bundle; "" for reference codecs.
        voxels: number of voxels of the scan.
        stored_bytes: bytes of its stored voxels.
        parts: seconds of the parts of DeepSTD: "encode shape", "encode texture", "encode check",
            "decode shape", "decode texture", "decode rest".
        definitions: definition of each metric.
        view: slice and region that pictures show.
        segmenter: the program that segmented original and restored scan; "" for none.
        overlaps: "dice" and "hd95" (mm) of each label, between the two segmentations.
    """

    scan: str
    codec: str
    target: str
    allowed: int
    nbytes: int | None = None
    mae: float | None = None
    max_error: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    encode_s: float | None = None
    decode_s: float | None = None
    shape: bool | None = None
    encode_peak_gib: float | None = None
    decode_peak_gib: float | None = None
    note: str = ""
    rmse: float | None = None
    mae_fg: float | None = None
    rmse_fg: float | None = None
    max_error_fg: float | None = None
    psnr_fg: float | None = None
    ssim_fg: float | None = None
    status: str = OK
    digest: str = ""
    model: str = ""
    voxels: int | None = None
    stored_bytes: int | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    definitions: Mapping[str, str] = field(default_factory=dict)
    view: Mapping[str, int] = field(default_factory=dict)
    segmenter: str = ""
    overlaps: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str, int]:
        """Scan, codec, target and allowed bytes, which identify a row."""
        return self.scan, self.codec, self.target, self.allowed

    @property
    def fill(self) -> float | None:
        """Share of the allowed bytes that is used; None for a lossless codec."""
        if self.nbytes is None or self.target == LOSSLESS:
            return None
        return self.nbytes / self.allowed

    @property
    def shortfall(self) -> str:
        """Note on unused bytes; "" where at least 97 % are used."""
        if self.fill is None or _LEAST_FILL <= self.fill <= 1:
            return ""
        return f"its settings leave {100 * (1 - self.fill):.1f} % of the bytes"

    @property
    def ratio(self) -> float | None:
        """Compression ratio: stored bytes divided by bytes used."""
        if self.nbytes is None or self.stored_bytes is None:
            return None
        return self.stored_bytes / self.nbytes

    @property
    def bpv(self) -> float | None:
        """Bits used per voxel."""
        if self.nbytes is None or self.voxels is None:
            return None
        return 8 * self.nbytes / self.voxels


_FIELDS = {f.name for f in fields(Row)}


def to_json(row: Row) -> dict[str, Any]:
    """Return the first four fields and all that differ from their defaults, for JSON.

    Infinity becomes "inf", as JSON has no infinity.
    """
    values = {
        name: value
        for name, value in asdict(row).items()
        if name in _ALWAYS or (value not in (None, "", {}) and (name, value) != ("status", OK))
    }
    return {name: INFINITY if value == math.inf else value for name, value in values.items()}


def from_json(values: Mapping[str, Any]) -> Row:
    """Make a row from the values of `to_json`; unknown fields, of a newer release, are ignored."""
    known = {name: value for name, value in values.items() if name in _FIELDS}
    for name, value in known.items():
        if value == INFINITY:
            known[name] = math.inf
    return Row(**known)


def append(row: Row, path: Path) -> None:
    """Add a row to a file of JSON lines.

    Raises:
        InputError: the file cannot be written.
    """
    line = json.dumps(_without_nan(to_json(row)), ensure_ascii=False, allow_nan=False)
    try:
        # Names that are not UTF-8 hold surrogates. Written as \udcxx they are valid JSON, and are
        # read back.
        with open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(line + "\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def load(path: Path) -> list[Row]:
    """Read the rows of a file of JSON lines; none where there is no file.

    An incomplete last line, left by an interrupted run, is ignored.

    Raises:
        InputError: the file holds something else.
    """
    if not path.is_file():
        return []
    # Not splitlines, as a name may hold other line separators. The last line may end within a
    # character.
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = text.removesuffix("\n").split("\n")
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(from_json(json.loads(line)))
        except (json.JSONDecodeError, TypeError, AttributeError) as error:
            if number == len(lines):
                break
            raise InputError(
                f"{path}: line {number} is not a row of results. Choose another folder"
            ) from error
    return rows


def mend(path: Path) -> None:
    """Cut off an incomplete last line, left by an interrupted run."""
    if path.is_file() and not (text := path.read_bytes()).endswith(b"\n") and text:
        path.write_bytes(text[: text.rfind(b"\n") + 1])


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in values.items()
        if not (isinstance(value, float) and math.isnan(value))
    }
