"""Bounded error: bytes of each study beside codecs that keep the same bound at every voxel.

    studies ─ scans ─ bound: a share of the range ─┬─ --max-error ─ decoded, compared ─▶ bytes
                                                   └─ JPEG-LS, SZ3, SPERR ────────────▶ bytes

Usage: python -m benchmarks.bounded [STUDY …] [--data FOLDER] [--limit N]

JPEG-LS codes slice by slice, with the whole number below the bound; its largest is 255. SZ3 and
SPERR get float32. Whole .dstd files are counted, and bare codestreams of the others.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.lossless import STUDIES_AND_SCANS, asked_studies
from benchmarks.standing.studies import Scan
from deepstd.baselines.base import imagecodecs
from deepstd.baselines.grey import slices_of
from deepstd.codec import exact
from deepstd.codec.uniform import largest_error
from deepstd.container import parse
from deepstd.progress import Progress
from deepstd.rate.bound import ErrorBound
from deepstd.volume import Volume

BOUNDS = (0.005, 0.01, 0.02, 0.04)
_MOST_NEAR = 255
_MOST_LEVEL = 4095
# A single series of 72 million voxels takes the peers too long.
_STUDIES = {key: scans for key, scans in STUDIES_AND_SCANS.items() if key != "chest-ct-full"}


def main() -> None:
    """Print a table in Markdown, row after row."""
    got = asked_studies(__doc__, _STUDIES)
    print(f"| study | scans | bound | DeepSTD | {' | '.join(PEERS)} | to the best |")
    print("|---" * (len(PEERS) + 5) + "|")
    for key in got.studies or _STUDIES:
        scans = [Scan.read(got.data, name).volume.voxels for name in _STUDIES[key][: got.limit]]
        for bound in BOUNDS:
            ours = sum(_bytes_of(voxels, bound) for voxels in scans)
            peers = [sum(encode(v, bound) for v in map(_from_zero, scans)) for encode in _ENCODERS]
            cells = [key, len(scans), f"{100 * bound:g} %", ours, *peers]
            print(
                f"| {' | '.join(map(str, cells))} | {100 * (ours / min(peers) - 1):+.1f} % |",
                flush=True,
            )


def _from_zero(voxels: np.ndarray) -> np.ndarray:
    """Return values from 0 on: whole numbers of 8 or 16 bits, or float32 where they are none."""
    values = voxels.astype(np.float64) - float(voxels.min())
    if (values != np.rint(values)).any():
        return values.astype(np.float32)
    return values.astype(np.uint8 if values.max() < 256 else np.uint16)


def _bytes_of(voxels: np.ndarray, share: float) -> int:
    """Return the bytes of a file within a bound, which is checked here once more."""
    data = exact.encode(Volume(voxels), Progress(), ErrorBound(share, of_range=True)).data
    restored = exact.decode(parse(data, "the file")).voxels
    allowed = share * (float(voxels.max()) - float(voxels.min()))
    if largest_error(voxels, restored) > allowed:
        raise SystemExit("a voxel errs by more than the bound")
    return len(data)


def _jpeg_ls(levels: np.ndarray, share: float) -> int:
    if levels.dtype.kind == "f":  # in steps far below the bound
        levels = np.rint(levels * (_MOST_LEVEL / levels.max())).astype(np.uint16)
    near = min(int(share * int(levels.max())), _MOST_NEAR)
    encode = imagecodecs("JPEGLS").jpegls_encode
    return sum(len(encode(part, level=near)) for part in slices_of(levels))


def _sz3(levels: np.ndarray, share: float) -> int:
    values = np.ascontiguousarray(levels, np.float32)
    return len(imagecodecs("SZ3").sz3_encode(values, "abs", abs=share * float(values.max())))


def _sperr(levels: np.ndarray, share: float) -> int:
    values = np.ascontiguousarray(levels, np.float32)
    encode = imagecodecs("SPERR").sperr_encode
    return len(encode(values, level=share * float(values.max()), mode="pwe"))


PEERS: dict[str, Callable[[np.ndarray, float], int]] = {
    "JPEG-LS": _jpeg_ls,
    "SZ3": _sz3,
    "SPERR": _sperr,
}
_ENCODERS = tuple(PEERS.values())


if __name__ == "__main__":
    main()
