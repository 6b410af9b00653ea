"""DeepSTD in comparisons of codecs: compression and decompression, timed part by part.

Volume, Target ─ every bundle that suits, or one ─▶ file ─ decode ─▶ restored voxels, seconds

With "auto", the seconds of every bundle tried are counted, as `deepstd compress` needs them.
Loading a bundle is not counted.
"""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepstd import bundle as bundles
from deepstd.api import best_encoding
from deepstd.codec.codec import Codec
from deepstd.codec.compressed import Compressed
from deepstd.codec.file_builder import FrameShape
from deepstd.codec.restoring import restored as restored_of
from deepstd.container import Container, parse
from deepstd.rate.target import Target
from deepstd.volume import Volume

_ENCODING = ("encode shape", "encode texture", "encode check")


@dataclass(frozen=True)
class OursResult:
    """Size, restored voxels and times of a DeepSTD file.

    Attributes:
        nbytes: bytes of the file.
        restored: decoded voxels.
        bundle: name and version of the bundle.
        field_kept: True where the file has a deformation field.
        encode_s: seconds of the compression.
        decode_s: seconds of the decompression.
        parts: seconds of "encode shape", "encode texture", "encode check", "decode shape",
            "decode texture" and "decode rest"; empty for a constant scan.
    """

    nbytes: int
    restored: np.ndarray
    bundle: str
    field_kept: bool
    encode_s: float
    decode_s: float
    parts: Mapping[str, float]


class TimedCodec(Codec):
    """A codec that measures the seconds of its parts in ``clock``."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.clock: defaultdict[str, float] = defaultdict(float)

    def encode(self, *arguments: Any, **options: Any) -> Compressed:
        """Encode, timed as "encode shape", "encode texture" and "encode check"."""
        self.clock.clear()
        start = time.perf_counter()
        try:
            return super().encode(*arguments, **options)
        finally:
            rest = time.perf_counter() - start - self.clock["encode shape"]
            check = self.clock.pop("decode", 0.0)
            self.clock.update({"encode check": check, "encode texture": rest - check})

    def shape_of_scan(self, *arguments: Any, **options: Any) -> FrameShape:
        """Register the scan to the template, timed as "encode shape"."""
        return self._timed("encode shape", super().shape_of_scan, *arguments, **options)

    def decode(self, container: Container) -> Volume:
        """Decode, timed as "decode"."""
        return self._timed("decode", super().decode, container)

    def _shape_of_file(self, *arguments: Any, **options: Any) -> Any:
        return self._timed("decode shape", super()._shape_of_file, *arguments, **options)

    def _decode_texture(self, *arguments: Any, **options: Any) -> Any:
        return self._timed("decode texture", super()._decode_texture, *arguments, **options)

    def _timed(self, part: str, function: Any, *arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            self.clock[part] += time.perf_counter() - start


def run(volume: Volume, target: Target, model: str, device: str) -> OursResult:
    """Compress and decompress a scan.

    Args:
        volume: 2-D to 4-D.
        target: size of the whole file.
        model: bundle by name or folder; "auto" tries all that suit and keeps the best.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        RateError: the size cannot be reached.
        InputError: the scan cannot be compressed.
        BundleError: the bundle is missing, damaged or not made for such scans.
    """
    codecs: dict[str, TimedCodec] = {}

    def load(name: str, *, device: str) -> TimedCodec:
        codec = _loaded(name, device)
        codec.clock.clear()
        manifest = codec.bundle.manifest
        return codecs.setdefault(f"{manifest.name} {manifest.version}", codec)

    began = time.perf_counter()
    bundle, found, _ = best_encoding(volume, target, model, device, load=load)
    encoded = time.perf_counter()
    parts = {part: sum(codec.clock[part] for codec in codecs.values()) for part in _ENCODING}
    codec = codecs.get(bundle)
    if codec is None:  # a constant scan is coded without a network
        exact = restored_of(parse(found.data, "the file")).voxels
        times = encoded - began, time.perf_counter() - encoded
        return OursResult(len(found.data), exact, bundle, False, *times, {})
    codec.clock.clear()
    restored = codec.decode(parse(found.data, "the file"))
    decode_s = codec.clock["decode"]
    known = {name: codec.clock[name] for name in ("decode shape", "decode texture")}
    return OursResult(
        len(found.data),
        restored.voxels,
        bundle,
        any(report is not None for report in found.shape),
        sum(parts.values()),
        decode_s,
        {**parts, **known, "decode rest": decode_s - sum(known.values())},
    )


@functools.cache
def _loaded(model: str, device: str) -> TimedCodec:
    return TimedCodec(bundles.load(bundles.find(model)), device)
