"""Label maps: bytes of sixty real ones beside other lossless codecs.

    maps of STUDIES ─┬ deepstd.compress ─ decoded and compared ─▶ whole file, payload ─┐
                     └ peers ─ codestreams alone ─▶ bytes ───────────┬─ labels.json ───┴▶ table
                                                                     └ docs/labels.md

Usage: python -m benchmarks.labels [--data FOLDER] [--limit N]

The ratios divide our payload, which is what compares with bare codestreams, by the bytes of a
peer; those of the whole file, with header, geometry and hashes, stand beside them. The payload is
checked by decoding; the file is checked by `deepstd.decompress`. Peers get the integers from 0
on, of 8 or 16 bits, as `benchmarks.lossless` does; xz gets the bytes in both orders of the axes,
packed bits as well where there are two values, and the least counts.
"""

from __future__ import annotations

import argparse
import datetime
import json
import lzma
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import numpy as np

import deepstd
from benchmarks.lossless import by_slice, levels_of
from benchmarks.standing.results import FOLDER
from benchmarks.standing.studies import add_data_option, split
from deepstd import io, lossless
from deepstd.baselines.base import imagecodecs
from deepstd.baselines.grey import slices_of

RESULTS = FOLDER / "labels.json"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "labels.md"
TARGET = 0.8
_MASKS = {
    "samples/brain1_label.nrrd": "brain mask",
    "samples/brain2_label.nrrd": "brain mask",
    "samples/breast1_label.nrrd": "breast mask",
    "samples/prostate_phantom_subvolume-label.nrrd": "prostate phantom",
}
_ORGANS = ("samples/ct-abdomen-3mm-organs.nii.gz", "samples/mr-abdomen-3mm-organs.nii.gz")
_BITS = {0: "brainstem", 1: "spinal cord", 2: "parotid", 6: "mandible", 7: "target"}
_NECKS = 4  # patients whose organs are measured one by one
_INTRO = """# Label maps

Written by `python -m benchmarks.labels` from `benchmarks/results/labels.json`.

Maps of labels and masks are recognised and stored exactly ([formats](formats.md)). Ratios are of
bytes: DeepSTD's payload to the bare codestreams of another codec, means over maps. "Worst" is the
largest ratio of a map. Below 1 DeepSTD is smaller. Each map was restored from its file and was the
same, voxel for voxel.
"""
_OUTRO = """
- JPEG XL, JPEG-LS and PNG code slice by slice. "One image" is JPEG XL of all slices below each
  other, which saves the overhead of a codestream a slice.
- xz (-9e) has the better of two orders of the axes, and packed bits for masks.
- A file has header, geometry and checksums beside the payload, {side} bytes on average here.
  "File to xz" counts these. The mask of a small organ takes less than them.
- Maps of many regions are coded as one mask for each region, those of overlapping regions as one
  for each bit. As grey values the 41 organs of the abdomen take 13,361 bytes, 1.22 of xz.
"""


@dataclass(frozen=True)
class Row:
    """Bytes of one map.

    Attributes:
        kind: kind of the map.
        name: path below the data folder, and the bit of a mask.
        labels: distinct values, the background included.
        voxels: number of voxels.
        payload: bytes of DeepSTD's payload.
        file: bytes of the whole file.
        peers: bytes of the codestreams of other codecs.
    """

    kind: str
    name: str
    labels: int
    voxels: int
    payload: int
    file: int
    peers: dict[str, int]


def maps(data: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield sixty maps: kind, name and voxels."""

    def read(name: str) -> np.ndarray:
        return io.read(data / name).voxels

    def labels_of(study: str, count: int) -> list[str]:
        return [n.replace("/images/", "/labels/") for n in split(study, "test")[:count]]

    for name in labels_of("hippocampus-t1", 16):
        yield "hippocampus, 2 labels", name, read(name)
    for name in labels_of("cardiac-cine", 12):
        yield "heart, 3 labels", name, read(name)
    for name in _ORGANS:
        yield "organs, 41 and 23 labels", name, read(name)
    organs = read(_ORGANS[0])
    # Eight of the organs: one image of all slices takes JPEG XL minutes.
    apart = np.stack([organs == n for n in np.unique(organs)[1::5][:8]], -1)
    yield "8 organs as segments in frames", f"{_ORGANS[0]} in frames", apart
    for name in _MASKS:
        yield "brain, breast, phantom", name, read(name)
    for number, name in enumerate(labels_of("headneck-ct", 7)):
        whole = read(name).astype(np.uint16)
        yield "head and neck, bits", name, whole
        for bit, organ in _BITS.items() if number < _NECKS else ():
            mask = (whole >> bit & 1).astype(np.uint8)
            if mask.any():
                yield "head and neck, one organ", f"{name} {organ}", mask


def measured(kind: str, name: str, voxels: np.ndarray) -> Row:
    """Return the bytes of a map.

    Raises:
        SystemExit: it does not come back as it was.
    """
    payload = lossless.encode(voxels)
    restored = lossless.decode(payload, voxels.shape, voxels.dtype, name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map_dseg.npy"
        np.save(path, voxels)
        report = deepstd.compress(path, path.with_suffix(".dstd"), ratio=64)
        again = deepstd.decompress(path.with_suffix(".dstd")).voxels
    if not (np.array_equal(restored, voxels) and np.array_equal(again, voxels)):
        raise SystemExit(f"{name}: not restored")
    levels = levels_of(voxels)
    peers = {peer: encode(levels) for peer, encode in PEERS.items()}
    count = len(np.unique(voxels))
    return Row(kind, name, count, voxels.size, len(payload), report.file_bytes, peers)


def _xz(levels: np.ndarray) -> int:
    forms = [levels.tobytes(order) for order in ("C", "F")]
    if levels.max() <= 1:
        forms += [np.packbits(levels.ravel(order)).tobytes() for order in ("C", "F")]
    return min(len(lzma.compress(form, preset=9 | lzma.PRESET_EXTREME)) for form in forms)


def _one_image(levels: np.ndarray) -> int:
    whole = np.concatenate(list(slices_of(levels)))
    encode = imagecodecs("JPEGXL").jpegxl_encode
    return len(encode(whole, effort=9, lossless=True, usecontainer=False))


PEERS: dict[str, Callable[[np.ndarray], int]] = {
    "xz": _xz,
    "JPEG XL 7": by_slice("JPEGXL", "jpegxl_encode", effort=7, lossless=True, usecontainer=False),
    "JPEG XL 9": by_slice("JPEGXL", "jpegxl_encode", effort=9, lossless=True, usecontainer=False),
    "JPEG XL 9, one image": _one_image,
    "JPEG-LS": by_slice("JPEGLS", "jpegls_encode"),
    "PNG": by_slice("PNG", "png_encode", level=9),
}


def page(rows: list[Row], date: str) -> str:
    """Return the page with a row for each kind of map, and one for all."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row.kind, []).append(row)
    head = ["maps", "number", "payload, bytes", *PEERS, "worst of xz and JPEG XL", "file to xz"]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " --- |" * (len(head) - 1)]
    lines += [_line(kind, some) for kind, some in (*kinds.items(), ("all", rows))]
    missed = [row.name for row in rows if _worst(row) > TARGET]
    told = f"Every map takes at most {TARGET} of the bytes of xz and of JPEG XL.\n"
    if missed:
        told = f"Above {TARGET} of xz or JPEG XL: {', '.join(missed)}.\n"
    side = round(mean(row.file - row.payload for row in rows))
    return "\n".join([_INTRO, *lines, "", told + _OUTRO.format(side=side), f"Measured {date}.\n"])


def _worst(row: Row) -> float:
    return max(row.payload / row.peers[peer] for peer in PEERS if peer.startswith(("xz", "JPEG X")))


def _line(kind: str, rows: list[Row]) -> str:
    ratios = [f"{mean(row.payload / row.peers[peer] for row in rows):.2f}" for peer in PEERS]
    payload = f"{round(mean(row.payload for row in rows)):,}"
    worst = f"{max(map(_worst, rows)):.2f}"
    whole = f"{mean(row.file / row.peers['xz'] for row in rows):.2f}"
    return "| " + " | ".join([kind, str(len(rows)), payload, *ratios, worst, whole]) + " |"


def main() -> None:
    """Measure all maps; write the results and the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=int, help="a trial of the first maps, not kept")
    add_data_option(parser)
    got = parser.parse_args()
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    rows: list[Row] = []
    for kind, name, voxels in maps(got.data):
        if got.limit is not None and len(rows) >= got.limit:
            break
        rows.append(measured(kind, name, voxels))
        print(f"{_worst(rows[-1]):.2f} {rows[-1]}", flush=True)
        if got.limit is None:
            text = page(rows, date)
            kept = {"date": date, "rows": [asdict(row) for row in rows]}
            json_text = json.dumps(kept, indent=1, ensure_ascii=False)
            RESULTS.write_text(json_text + "\n", encoding="utf-8")
            PAGE.write_text(text, encoding="utf-8")
    if got.limit is not None:
        print(page(rows, date))


if __name__ == "__main__":
    main()
