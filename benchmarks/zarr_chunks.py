"""Zarr chunks of a CT: bytes, errors and times of the codec deepstd and of other codecs.

    scan ─ zarr.create_array, a codec ─▶ chunks in memory ─ bytes ─ read back ─ errors, CPU times

Usage: python -m benchmarks.zarr_chunks [--data FOLDER] [--scan NAME] [--chunk N] [--every N]
       [--codecs a,b,…]

Axes are (z, y, x). Blosc, JPEG XL and SPERR get the padded chunks that zarr-python hands out. JPEG
XL codes each plane of a chunk; its lossy distance is bisected until the chunk has the ratio. Times
are CPU time of all threads, which other programs on the machine change less than wall time.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from zarr.abc.codec import ArrayBytesCodec
from zarr.codecs import BloscCodec
from zarr.registry import register_codec
from zarr.storage import MemoryStore

from benchmarks.standing.studies import Scan, add_data_option
from deepstd.baselines.base import imagecodecs
from deepstd.zarr import DeepSTDCodec

BOUND, RATIO = 8, 32
_BITS = 16  # of a voxel of CT
_STRETCH = 16  # CT of 12 bits to the 16 bits that JPEG XL expects
_DISTANCES = (-6.5, 4.64)  # log2, least and largest that JPEG XL takes
_BISECTIONS = 6


def _jpeg_xl(chunk: np.ndarray, ratio: float) -> bytes:
    return imagecodecs("JPEGXL").jpegxl_encode(chunk, lossless=True, effort=7, usecontainer=False)


def _jpeg_xl_of_ratio(chunk: np.ndarray, ratio: float) -> bytes:
    levels, (low, high) = chunk * np.uint16(_STRETCH), _DISTANCES
    found = b""
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        data = imagecodecs("JPEGXL").jpegxl_encode(
            levels, distance=2.0**middle, effort=7, lossless=False, usecontainer=False
        )
        if len(data) <= chunk.nbytes / ratio:
            found, high = data, middle
        else:
            low = middle
        found = found or data
    return found


def _from_jpeg_xl(data: bytes) -> np.ndarray:
    return imagecodecs("JPEGXL").jpegxl_decode(data)


def _from_stretched(data: bytes) -> np.ndarray:
    return np.rint(_from_jpeg_xl(data) / _STRETCH)


def _sperr_of_bound(chunk: np.ndarray, ratio: float) -> bytes:
    encode = imagecodecs("SPERR").sperr_encode
    return encode(chunk.astype(np.float32), level=BOUND, mode="pwe")


def _sperr_of_ratio(chunk: np.ndarray, ratio: float) -> bytes:
    encode = imagecodecs("SPERR").sperr_encode
    return encode(chunk.astype(np.float32), level=_BITS / ratio, mode="bpp")


def _from_sperr(data: bytes) -> np.ndarray:
    return np.clip(np.rint(imagecodecs("SPERR").sperr_decode(data)), 0, None)


@dataclass(frozen=True)
class PeerCodec(ArrayBytesCodec):
    """A codec of imagecodecs as a codec of zarr-python."""

    is_fixed_size = False
    peer: str
    ratio: float

    def to_dict(self) -> dict[str, Any]:
        """Return the description of the codec."""
        return {"name": "peer", "configuration": {"peer": self.peer, "ratio": self.ratio}}

    @classmethod
    def from_dict(cls, data: Any) -> PeerCodec:
        """Make the codec of a description."""
        return cls(**data["configuration"])

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        """Raise a NotImplementedError."""
        raise NotImplementedError

    async def _encode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        encode, chunk = _PEERS[self.peer][0], chunk_data.as_numpy_array()
        data = await asyncio.to_thread(encode, chunk, self.ratio)
        return chunk_spec.prototype.buffer.from_bytes(data)

    async def _decode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        found = await asyncio.to_thread(_PEERS[self.peer][1], chunk_data.to_bytes())
        values = found.astype(chunk_spec.dtype.to_native_dtype()).reshape(chunk_spec.shape)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(values)


_PEERS: dict[str, tuple[Callable[[np.ndarray, float], bytes], Callable[[bytes], np.ndarray]]] = {
    "JPEG XL": (_jpeg_xl, _from_jpeg_xl),
    "JPEG XL, ratio": (_jpeg_xl_of_ratio, _from_stretched),
    "SPERR, bound": (_sperr_of_bound, _from_sperr),
    "SPERR, ratio": (_sperr_of_ratio, _from_sperr),
}
_BLOSC = BloscCodec(cname="zstd", clevel=9, shuffle="bitshuffle")
CODECS: dict[str, Callable[[float], dict[str, Any]]] = {
    "blosc": lambda ratio: {"compressors": [_BLOSC]},
    "jpegxl": lambda ratio: {"serializer": PeerCodec("JPEG XL", ratio)},
    "lossless": lambda ratio: {"serializer": DeepSTDCodec(lossless=True)},
    "sperr-bound": lambda ratio: {"serializer": PeerCodec("SPERR, bound", ratio)},
    "bound": lambda ratio: {"serializer": DeepSTDCodec(max_error=BOUND)},
    "jpegxl-ratio": lambda ratio: {"serializer": PeerCodec("JPEG XL, ratio", ratio)},
    "sperr-ratio": lambda ratio: {"serializer": PeerCodec("SPERR, ratio", ratio)},
    "ratio": lambda ratio: {"serializer": DeepSTDCodec(ratio=RATIO)},
}


def main() -> None:
    """Print a table in Markdown, row after row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scan", default="chest-ct-full", help="scan in the data folder")
    parser.add_argument("--chunk", type=int, default=64, help="voxels of a chunk along each axis")
    parser.add_argument("--codecs", default=",".join(CODECS), help="some of the codecs")
    parser.add_argument("--every", type=int, help="every N-th whole chunk alone, one above another")
    add_data_option(parser)
    asked = parser.parse_args()
    register_codec("peer", PeerCodec)
    register_codec("deepstd", DeepSTDCodec)
    voxels = np.ascontiguousarray(Scan.read(asked.data, asked.scan).volume.voxels.T)
    if asked.every:
        voxels = np.concatenate(_whole_chunks(voxels, asked.chunk)[:: asked.every])
    print("| codec | chunk | bytes | ratio | PSNR, dB | largest error | write, s | read, s |")
    print("| --- " * 8 + "|")
    for name in asked.codecs.split(","):
        print(_row(name, voxels, asked.chunk), flush=True)


def _whole_chunks(voxels: np.ndarray, chunk: int) -> list[np.ndarray]:
    corners = itertools.product(*(range(0, size - chunk + 1, chunk) for size in voxels.shape))
    return [voxels[tuple(slice(at, at + chunk) for at in corner)] for corner in corners]


def _row(name: str, voxels: np.ndarray, chunk: int) -> str:
    store, start = MemoryStore(), time.process_time()
    # Peers spend bytes on padding, too. At this ratio all chunks together have the bytes of ours.
    padded = math.prod(-(-size // chunk) * chunk for size in voxels.shape)
    options = {"compressors": None} | CODECS[name](RATIO * padded / voxels.size)
    zarr.create_array(store, data=voxels, chunks=(chunk,) * 3, **options)
    middle = time.process_time()
    found = zarr.open_array(store, mode="r")[...]
    end = time.process_time()
    nbytes = sum(len(data) for key, data in store._store_dict.items() if key != "zarr.json")
    errors = np.abs(found.astype(np.int32) - voxels)
    mean_square = float(np.square(errors, dtype=np.float64).mean())
    span = int(voxels.max()) - int(voxels.min())
    psnr = f"{10 * np.log10(span**2 / mean_square):.2f}" if mean_square else "exact"
    cells = [name, f"{chunk}³", f"{nbytes:,}", f"{voxels.nbytes / nbytes:.2f}", psnr, errors.max()]
    times = [f"{middle - start:.0f}", f"{end - middle:.0f}"]
    return "| " + " | ".join(map(str, [*cells, *times])) + " |"


if __name__ == "__main__":
    main()
