"""Video codecs, with the slices of a scan as frames; an image is one intra frame.

    voxels ─ levels, stretched over 10 or 12 bits ─▶ frames (·, ·, k), padded ─ codec ─▶ packets

HEVC is x265 in 12-bit grey with a constant QP. Between two integer QPs, the range of the levels is
reduced instead of coarsening the quantiser. This rate control is continuous, and at equal bytes as
good as x265's constant rate factor or better, whose sizes jump by several percent. AV1 is SVT-AV1
in 10 bits with constant chroma, as it has no grey format; its rate factor has quarter steps.

Both are tuned for PSNR and use one intra frame, the first. Packets are counted, with the parameter
sets in them and without messages of the encoder. The codecs use all processors, x265 one frame at a
time, so sizes are reproducible but for a few bytes once in some hundred runs.

Odd sides, and sides below the 16 that x265 needs, are padded and cropped again.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np

from deepstd.baselines.base import Encoded
from deepstd.baselines.grey import Grey, slices_of, stretched_levels
from deepstd.errors import InputError, MissingExtraError

_SHORTEST_SIDE = 16  # pixels
_FRAMES_PER_SECOND = 25  # any value: the encoders require one
_HIGHEST_QP = 51
_QP_DOUBLING_STEP = 6.0  # QPs that double the quantisation step, as in the standards


class Hevc:
    """HEVC by x265, 12-bit grey; the knob is 51 − QP."""

    knobs = (0.0, 51.0)
    step = 0.01
    near = 0.995

    def __init__(self, preset: str) -> None:
        self.preset = preset
        self.name = f"HEVC {preset}"

    def check(self) -> None:
        """Raise a MissingExtraError where the encoder is not installed."""
        _pyav("libx265")

    def encode(self, voxels: np.ndarray, knob: float) -> Encoded:
        """Encode a scan to the packets of x265."""
        qp, share = whole_qp(_HIGHEST_QP - knob)
        parameters = f"log-level=none:info=0:frame-threads=1:keyint=-1:qp={qp}"
        options = {"preset": self.preset, "tune": "psnr", "x265-params": parameters}
        return _encode("libx265", "gray12le", *stretched_levels(voxels, 12, share), options)

    def decode(self, encoded: Encoded) -> np.ndarray:
        """Decode a scan to the shape and type of the original."""
        return _decode(encoded, "hevc")


class Av1:
    """AV1 by SVT-AV1, 10 bits, preset 4; the knob is 70 minus the constant rate factor."""

    name = "AV1"
    knobs = (0.0, 69.0)
    step = 0.25
    near = 0.995

    def check(self) -> None:
        """Raise a MissingExtraError where the encoder is not installed."""
        _pyav("libsvtav1")

    def encode(self, voxels: np.ndarray, knob: float) -> Encoded:
        """Encode a scan to the packets of SVT-AV1."""
        os.environ.setdefault("SVT_LOG", "-1")
        parameters = f"tune=1:keyint=-1:crf={70 - knob:g}"
        options = {"preset": "4", "svtav1-params": parameters}
        with _scheduling_restored():
            return _encode("libsvtav1", "yuv420p10le", *stretched_levels(voxels, 10), options)

    def decode(self, encoded: Encoded) -> np.ndarray:
        """Decode a scan to the shape and type of the original."""
        return _decode(encoded, "libdav1d")


@contextmanager
def _scheduling_restored() -> Iterator[None]:
    """Give this thread back its scheduling at the end.

    Where it may, as root, SVT-AV1 (in PyAV 18.1) gives the calling thread real-time priority, and
    leaves it. Waiting threads of later work would then starve the ones that they wait for.
    """
    if not hasattr(os, "sched_getscheduler"):  # not on Linux
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def whole_qp(qp: float) -> tuple[int, float]:
    """Round a QP down; return it with the share of the levels that replaces the fraction."""
    below = math.floor(qp)
    return below, 2.0 ** ((below - qp) / _QP_DOUBLING_STEP)


def padded(part: np.ndarray, shortest: int) -> np.ndarray:
    """Pad an image to even sides of at least ``shortest`` by repeating its last row and column."""
    sides = [max(shortest, length + length % 2) for length in part.shape]
    grown = [(0, side - length) for side, length in zip(sides, part.shape, strict=True)]
    return np.pad(part, grown, mode="edge")


def _encode(
    codec: str, pixels: str, levels: np.ndarray, grey: Grey, options: Mapping[str, str]
) -> Encoded:
    av = _pyav(codec)
    context: Any = av.CodecContext.create(codec, "w")
    first = padded(next(slices_of(levels)), _SHORTEST_SIDE)
    context.height, context.width = first.shape
    context.pix_fmt = pixels
    context.framerate, context.time_base = _FRAMES_PER_SECOND, Fraction(1, _FRAMES_PER_SECOND)
    context.options = dict(options)
    packets: list[bytes] = []
    try:
        for number, part in enumerate(slices_of(levels)):
            frame = _frame(av, padded(part, _SHORTEST_SIDE), pixels, 2 ** (grey.bits - 1))
            frame.pts = number
            packets += map(bytes, context.encode(frame))
        packets += map(bytes, context.encode(None))
    except av.FFmpegError as error:
        raise InputError(
            f"{codec} does not take frames of {context.width} x {context.height}: {error}"
        ) from error
    return Encoded(tuple(packets), grey)


def _frame(av: ModuleType, levels: np.ndarray, pixels: str, neutral: int) -> Any:
    height, width = levels.shape
    frame = av.VideoFrame(width, height, pixels)
    luma = _samples(frame.planes[0])
    luma[:, :width] = levels
    for plane in frame.planes[1:]:
        _samples(plane)[:] = neutral
    return frame


def _decode(encoded: Encoded, codec: str) -> np.ndarray:
    av = _pyav(codec, mode="r")
    grey: Grey = encoded.side
    context: Any = av.CodecContext.create(codec, "r")
    width, height = grey.shape[:2]

    def parts() -> Any:
        for packet in (*encoded.streams, None):
            for frame in context.decode(None if packet is None else av.Packet(packet)):
                yield _samples(frame.planes[0])[:height, :width]

    return grey.restore(parts())


def _samples(plane: Any) -> np.ndarray:
    """Return a view of a plane's memory as 16-bit rows, which may be longer than the image."""
    return np.frombuffer(plane, np.uint16).reshape(plane.height, -1)


def _pyav(codec: str, mode: str = "w") -> ModuleType:
    try:
        av = importlib.import_module("av")
    except ImportError as error:
        raise MissingExtraError(
            'comparing with HEVC and AV1 needs the package av: pip install "deepstd[baselines]"'
        ) from error
    av.logging.set_level(av.logging.PANIC)
    try:
        av.Codec(codec, mode)
    except av.codec.codec.UnknownCodecError as error:
        raise MissingExtraError(f"the installed av {av.__version__} has no {codec}") from error
    return av
