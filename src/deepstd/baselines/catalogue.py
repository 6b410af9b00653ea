"""Reference codecs by their names on the command line.

"jpeg2000" ─ lossy ─▶ Jpeg2000()        name ─ missing ─▶ reason why it cannot be used, or None
name, voxels, bytes allowed ─ encode_at ─▶ fit_to_bytes, or encode_within of a neural codec
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from deepstd.baselines.base import (
    Baseline,
    BaselineResult,
    Budgeted,
    Lossless,
    encode_within,
    fit_to_bytes,
)
from deepstd.baselines.lossless import Gzip, JpegLs, JpegXlLossless
from deepstd.baselines.neural.fitted import Brief, Gaussians
from deepstd.baselines.neural.learned import Dvc, Tcm
from deepstd.baselines.slices import Htj2k, Jpeg, Jpeg2000, JpegXl
from deepstd.baselines.video import Av1, Hevc
from deepstd.baselines.volumes import Sperr, Sz3, Zfp
from deepstd.baselines.vvc import Vvc
from deepstd.baselines.wavelet import Jpeg2000Volume
from deepstd.errors import InputError, MissingExtraError

LOSSY: Mapping[str, Baseline] = MappingProxyType(
    {
        "jpeg": Jpeg(),
        "jpeg2000": Jpeg2000(),
        "jpeg2000-3d": Jpeg2000Volume(),
        "htj2k": Htj2k(),
        "jpegxl": JpegXl(),
        "hevc": Hevc("medium"),
        "hevc-slow": Hevc("slow"),
        "av1": Av1(),
        "vvc": Vvc(),
        "sperr": Sperr(),
        "sz3": Sz3(),
        "zfp": Zfp(),
    }
)
LOSSLESS: Mapping[str, Lossless] = MappingProxyType(
    {"gzip": Gzip(), "jpegls": JpegLs(), "jpegxl-lossless": JpegXlLossless()}
)


NEURAL: Mapping[str, Baseline | Budgeted] = MappingProxyType(
    {"brief": Brief(), "gaussians": Gaussians(), "dvc": Dvc(), "tcm": Tcm()}
)
"""Neural codecs: fitted to a scan for a time, or with weights that were trained."""


def lossy(name: str) -> Baseline | Budgeted:
    """Return a lossy codec, neural or not, by its name."""
    return LOSSY[name] if name in LOSSY else NEURAL[name]


def title(name: str) -> str:
    """Return the name of a codec in tables."""
    return (LOSSLESS[name] if name in LOSSLESS else lossy(name)).name


def encode_at(
    name: str, voxels: np.ndarray, max_bytes: int, known: dict[float, int] | None = None
) -> BaselineResult:
    """Encode a scan with a lossy codec within a number of bytes; decode it.

    Args:
        name: name of the codec.
        voxels: scan of 2 to 4 axes.
        max_bytes: allowed bytes.
        known: bytes at knobs tried before on the same scan; new results are added.

    Raises:
        RateError: the codec needs more bytes.
        MissingExtraError: the codec is not installed.
    """
    codec = lossy(name)
    if isinstance(codec, Baseline):
        return fit_to_bytes(codec, voxels, max_bytes, known)
    return encode_within(codec, voxels, max_bytes)


def missing(name: str) -> str | None:
    """Return the reason why a codec cannot be used on this machine, or None where it can."""
    try:
        (LOSSLESS[name] if name in LOSSLESS else lossy(name)).check()
    except (MissingExtraError, InputError) as error:
        return str(error)
    return None
