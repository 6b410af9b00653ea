"""DeepSTD in comparisons of codecs: compression and decompression, timed part by part.

Volume, Target ─ every bundle that suits, or one ─▶ file ─ decode ─▶ restored voxels, seconds

With "auto", the seconds of every bundle tried are counted, as `deepstd compress` needs them.
Loading a bundle is not counted.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from deepstd import bundle as bundles
from deepstd.codec import decoder
from deepstd.codec.choice import best_encoding
from deepstd.codec.codec import Codec
from deepstd.codec.restoring import restored as restored_of
from deepstd.container import parse
from deepstd.progress import Progress
from deepstd.rate.target import Target
from deepstd.volume import Volume


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


def run(volume: Volume, target: Target, model: str, device: str) -> OursResult:
    """Compress and decompress a scan.

    Args:
        volume: 2-D to 4-D.
        target: size of the whole file.
        model: bundle by name or folder; "auto" takes the best of all that suit.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        RateError: the size cannot be reached.
        InputError: the scan cannot be compressed.
        BundleError: the bundle is missing, damaged or not made for such scans.
    """
    codecs: dict[str, Codec] = {}

    def load(name: str, *, device: str) -> Codec:
        codec = _loaded(name, device)
        return codecs.setdefault(codec.model.name, codec)

    encoding, decoding = Progress(), Progress()
    chosen = best_encoding(volume, target, model, device, encoding, load=load)
    container = parse(chosen.encoding.data, "the file")
    codec = codecs.get(chosen.bundle)
    # A constant scan is coded without a network.
    with decoding.timed("decode rest"):
        if codec is None:
            restored = restored_of(container)
        else:
            restored = decoder.decode(codec.model, container, decoding)
    return OursResult(
        container.nbytes,
        restored.voxels,
        chosen.bundle,
        any(report is not None for report in chosen.encoding.shape),
        sum(encoding.seconds.values()),
        sum(decoding.seconds.values()),
        {**encoding.seconds, **decoding.seconds} if codec else {},
    )


@functools.cache
def _loaded(model: str, device: str) -> Codec:
    return Codec(bundles.load(bundles.find(model)), device)
