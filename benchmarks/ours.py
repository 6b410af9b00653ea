"""DeepSTD on one scan at one size.

scan, Target ─ Codec.compress ─▶ file ─ Codec.decompress ─▶ Row
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from isolated import isolated
from results import Row, figures
from studies import Study, Target

import deepstd
from deepstd import io
from deepstd.container import parse
from deepstd.errors import RateError
from deepstd.volume import Volume


@dataclass(frozen=True)
class Ours:
    """DeepSTD as it is measured.

    Attributes:
        name: of the codec, in tables.
        bundle: name or folder of the bundle.
        shape: "auto" or "off".
        fresh: compress and decompress in processes of their own, to learn their peak memory.
    """

    name: str
    bundle: str
    shape: str
    fresh: bool

    def row(self, study: Study, scan: str, path: Path, volume: Volume, target: Target) -> Row:
        """One scan at one size; without figures where the size cannot be reached."""
        allowed = target.max_bytes(volume)
        run = isolated if self.fresh else _here
        try:
            (data, encode_s), encode_peak = run(_compress, self.bundle, path, self.shape, target)
        except RateError as error:
            return Row(scan, self.name, str(target), allowed, note=str(error))
        (restored, decode_s), decode_peak = run(_decompress, self.bundle, data)
        return Row(
            scan,
            self.name,
            str(target),
            allowed,
            nbytes=len(data),
            **figures(study, volume.voxels, restored),
            encode_s=round(encode_s, 4),
            decode_s=round(decode_s, 4),
            shape=any(section.name == "SHAP" for section in parse(data, scan).sections),
            encode_peak_gib=_gib(encode_peak),
            decode_peak_gib=_gib(decode_peak),
        )


@functools.cache
def _codec(bundle: str) -> deepstd.Codec:
    return deepstd.Codec.load(bundle)


def _compress(bundle: str, path: Path, shape: str, target: Target) -> tuple[bytes, float]:
    codec, volume = _codec(bundle), io.read(path)
    request: dict[str, Any] = {target.kind: target.value}
    start = time.perf_counter()
    data = codec.compress(volume, **request, shape=shape)
    return data, time.perf_counter() - start


def _decompress(bundle: str, data: bytes) -> tuple[np.ndarray, float]:
    codec = _codec(bundle)
    start = time.perf_counter()
    restored = codec.decompress(data)
    return restored.voxels, time.perf_counter() - start


def _here(function: Callable[..., Any], *arguments: object) -> tuple[Any, None]:
    return function(*arguments), None


def _gib(peak: int | None) -> float | None:
    return None if peak is None else round(peak / 2**30, 3)
