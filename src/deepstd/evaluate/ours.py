"""DeepSTD as a codec among others: a scan at a size, timed part by part.

Volume, Target ─ every bundle that suits, or one ─▶ file ─ decode ─▶ restored voxels, seconds

Compressing with "auto" counts the seconds of every bundle that was tried, as `deepstd compress`
needs them. Loading a bundle is not counted.
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
from deepstd.api import AUTO
from deepstd.codec import Codec
from deepstd.container import Container, parse
from deepstd.encoding import Compressed, FrameShape
from deepstd.errors import BundleError, InputError, RateError
from deepstd.rate import Target
from deepstd.volume import Volume


@dataclass(frozen=True)
class OursResult:
    """A DeepSTD file and the scan that comes back.

    Attributes:
        nbytes: of the file.
        restored: voxels.
        bundle: name and version of the bundle.
        field_kept: whether a deformation field is in the file.
        encode_s, decode_s: seconds.
        parts: seconds of each part; see `deepstd.evaluate.rows.Row`.
    """

    nbytes: int
    restored: np.ndarray
    bundle: str
    field_kept: bool
    encode_s: float
    decode_s: float
    parts: Mapping[str, float]


class TimedCodec(Codec):
    """A codec that knows where its seconds go."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.clock: defaultdict[str, float] = defaultdict(float)
        self.decoding_since: float | None = None

    def shape_of_scan(self, *arguments: Any, **options: Any) -> FrameShape:
        """As the codec's, timed as "encode shape"."""
        return self._timed("encode shape", super().shape_of_scan, *arguments, **options)

    def decode(self, container: Container) -> Volume:
        """As the codec's."""
        if self.decoding_since is None:
            self.decoding_since = time.perf_counter()
        return super().decode(container)

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

    def reset(self) -> None:
        """Forget what was timed."""
        self.clock.clear()
        self.decoding_since = None


def run(volume: Volume, target: Target, model: str, device: str) -> OursResult:
    """Compress and restore a scan.

    Args:
        volume: 2-D to 4-D.
        target: size of the whole file.
        model: bundle by name or folder; "auto" tries all that suit and keeps the best.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        RateError, InputError, BundleError: see `deepstd.api.compress`.
    """
    codecs = _codecs(model, device, volume)
    parts: defaultdict[str, float] = defaultdict(float)
    best: tuple[TimedCodec, Compressed] | None = None
    failures: list[RateError | InputError] = []
    encode_s = 0.0
    for codec in codecs:
        codec.reset()
        start = time.perf_counter()
        try:
            found = codec.encode(volume, target)
        except (RateError, InputError) as error:
            failures.append(error)
            continue
        finally:
            seconds = time.perf_counter() - start
            encode_s += seconds
            check = 0.0
            if codec.decoding_since is not None:
                check = start + seconds - codec.decoding_since
            shape = codec.clock["encode shape"]
            parts["encode shape"] += shape
            parts["encode texture"] += seconds - shape - check
            parts["encode check"] += check
        if best is None or found.mean_squared_error < best[1].mean_squared_error:
            best = (codec, found)
    if best is None:
        raise failures[-1] if failures else InputError("no installed bundle suits the scan")
    codec, found = best
    codec.reset()
    start = time.perf_counter()
    restored = codec.decode(parse(found.data, "the file"))
    decode_s = time.perf_counter() - start
    known = {name: codec.clock[name] for name in ("decode shape", "decode texture")}
    manifest = codec.bundle.manifest
    return OursResult(
        len(found.data),
        restored.voxels,
        f"{manifest.name} {manifest.version}",
        any(report is not None for report in found.shape),
        encode_s,
        decode_s,
        {**parts, **known, "decode rest": decode_s - sum(known.values())},
    )


def _codecs(model: str, device: str, volume: Volume) -> list[TimedCodec]:
    if model != AUTO:
        return [_loaded(model, device)]
    found = []
    for folder in bundles.available():
        try:
            found.append(_loaded(str(folder), device))
        except BundleError:
            continue
    return [codec for codec in found if codec.suits(volume)]


@functools.cache
def _loaded(model: str, device: str) -> TimedCodec:
    return TimedCodec(bundles.load(bundles.find(model)), device)
