"""Exact coding: bytes of each study beside other lossless codecs, and the speed.

    studies ─ scans ─┬─ deepstd.lossless ─ decoded and compared ─▶ bytes, voxels a second ─▶ table
                     └─ peers ─ codestreams ─▶ bytes

Usage: python -m benchmarks.lossless [STUDY …] [--data FOLDER] [--limit N]

Peers get integers from 0 on, of 8 or 16 bits. Floats, which no image codec takes, are given to them
as the ranks of their distinct values; the table of these values is not counted. Image codecs code
slice by slice. Three-dimensional JPEG 2000 is a reversible 5/3 wavelet across the slices, as Part 2
of the standard describes, with one codestream for all of them. Speeds are of one process with
$OMP_NUM_THREADS threads.
"""

from __future__ import annotations

import argparse
import lzma
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.standing.studies import STUDIES, Scan, add_data_option, split
from deepstd import lossless
from deepstd.baselines.base import imagecodecs
from deepstd.baselines.grey import slices_of
from deepstd.errors import MissingExtraError

_LEVELS_OF_WAVELET = 4
STUDIES_AND_SCANS: dict[str, tuple[str, ...]] = {
    **{key: study.scans for key, study in STUDIES.items()},
    "sarcoma-ct": split("sarcoma-ct", "test"),
    "headneck-ct": split("headneck-ct", "test")[::3],
    "chest-ct-full": ("chest-ct-full",),
}


def main() -> None:
    """Print a table in Markdown, row after row."""
    got = asked_studies(__doc__, STUDIES_AND_SCANS)
    print(
        "| study | scans | voxels | DeepSTD | "
        + " | ".join(PEERS)
        + " | to the best | encode, decode: 10⁶ voxels/s |"
    )
    print("|---" * (len(PEERS) + 6) + "|")
    for key in got.studies or STUDIES_AND_SCANS:
        _print_row(key, STUDIES_AND_SCANS[key][: got.limit], got.data)


def asked_studies(about: str | None, names: Mapping[str, Sequence[str]]) -> argparse.Namespace:
    """Parse the command line: ``studies``, ``limit`` and ``data``.

    Args:
        about: description of the program.
        names: scans by study.
    """
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=", ".join(names))
    parser.add_argument("--limit", type=int, help="the first scans of each study alone")
    add_data_option(parser)
    got = parser.parse_args()
    if unknown := set(got.studies) - set(names):
        parser.error(f"no study {', '.join(unknown)}: expected some of {', '.join(names)}")
    return got


def _print_row(key: str, scans: tuple[str, ...], data: Path) -> None:
    voxels, ours, encode_s, decode_s = 0, 0, 0.0, 0.0
    peers = dict.fromkeys(PEERS, 0)
    for name in scans:
        scan = Scan.read(data, name).volume.voxels
        start = time.perf_counter()
        payload = lossless.encode(scan)
        middle = time.perf_counter()
        restored = lossless.decode(payload, scan.shape, scan.dtype, name)
        decode_s += time.perf_counter() - middle
        encode_s += middle - start
        if restored.tobytes() != scan.tobytes():
            raise SystemExit(f"{name}: not restored")
        voxels, ours = voxels + scan.size, ours + len(payload)
        levels = levels_of(scan)
        for peer, encode in PEERS.items():
            peers[peer] += encode(levels)
    best = min(peers.values())
    cells = [key, len(scans), voxels, ours, *peers.values(), f"{100 * (ours / best - 1):+.1f} %"]
    speeds = f"{voxels / encode_s / 1e6:.2f}, {voxels / decode_s / 1e6:.2f}"
    print("| " + " | ".join(map(str, [*cells, speeds])) + " |", flush=True)


def levels_of(scan: np.ndarray) -> np.ndarray:
    """Return a scan as integers from 0 on, of 8 or 16 bits."""
    if scan.dtype.kind == "f":
        levels = np.unique(scan, return_inverse=True)[1].reshape(scan.shape)
    else:
        levels = scan.astype(np.int64) - int(scan.min())
    return levels.astype(np.uint8 if levels.max() < 256 else np.uint16)


def by_slice(module: str, function: str, **options: object) -> Callable[[np.ndarray], int]:
    """Return a function that counts the bytes of levels, a codestream of imagecodecs a slice."""

    def encode(levels: np.ndarray) -> int:
        call = getattr(imagecodecs(module), function)
        return sum(len(call(part, **options)) for part in slices_of(levels))

    return encode


def _ffv1(levels: np.ndarray) -> int:
    """Bytes of FFV1 version 3 with its larger context model and adaptive range coder."""
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("FFV1 needs av") from error
    from fractions import Fraction

    parts = list(slices_of(levels))
    context: Any = av.CodecContext.create("ffv1", "w")
    context.height, context.width = parts[0].shape
    context.pix_fmt = "gray" if levels.dtype == np.uint8 else "gray16le"
    context.time_base = Fraction(1, 25)
    context.options = {
        "level": "3", "coder": "range_tab", "context": "1", "g": "9999", "slices": "4",
        "slicecrc": "0",
    }  # fmt: skip
    packets = []
    for n, part in enumerate(parts):
        frame = av.VideoFrame.from_ndarray(part, format=context.pix_fmt)
        frame.pts = n
        packets += context.encode(frame)
    packets += context.encode(None)
    return sum(packet.size for packet in packets)


def _lifted(stack: np.ndarray) -> np.ndarray:
    """The reversible 5/3 wavelet along the first axis, in place of the stack."""
    even, odd = stack[::2], stack[1::2]
    if not len(odd):
        return stack
    following = np.concatenate([even[1:], even[-1:]])[: len(odd)]
    high = odd - (even[: len(odd)] + following >> 1)
    before = np.concatenate([high[:1], high])[: len(even)]
    after = np.concatenate([high, high[-1:]])[: len(even)]
    return np.concatenate([even + (before + after + 2 >> 2), high])


def _jpeg_2000_3d(levels: np.ndarray) -> int:
    stack = np.stack(list(slices_of(levels))).astype(np.int32)
    low = len(stack)
    for _ in range(_LEVELS_OF_WAVELET):
        stack[:low] = _lifted(stack[:low])
        low = -(-low // 2)
    stack -= stack.min()
    kind = np.uint16 if stack.max() < 1 << 16 else np.uint32
    planes = stack.astype(kind)
    return len(
        imagecodecs("JPEG2K").jpeg2k_encode(
            planes, level=0, reversible=True, codecformat="j2k", planar=True, mct=False
        )
    )


def _xz(levels: np.ndarray) -> int:
    return len(lzma.compress(levels.tobytes(order="F"), preset=9))


PEERS: dict[str, Callable[[np.ndarray], int]] = {
    "JPEG-LS": by_slice("JPEGLS", "jpegls_encode"),
    "JPEG XL 7": by_slice("JPEGXL", "jpegxl_encode", effort=7, lossless=True, usecontainer=False),
    "JPEG XL 9": by_slice("JPEGXL", "jpegxl_encode", effort=9, lossless=True, usecontainer=False),
    "HTJ2K": by_slice("HTJ2K", "htj2k_encode", reversible=True),
    "FFV1": _ffv1,
    "3-D JPEG 2000": _jpeg_2000_3d,
    "xz": _xz,
}


if __name__ == "__main__":
    main()
