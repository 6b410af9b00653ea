"""Reference codecs by their names on the command line.

"jpeg2000" ─▶ Jpeg2000()        name ─ missing ─▶ reason why it cannot be used, or None
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from deepstd.baselines.base import Baseline, Lossless
from deepstd.baselines.lossless import Gzip, JpegLs, JpegXlLossless
from deepstd.baselines.slices import Htj2k, Jpeg, Jpeg2000, JpegXl
from deepstd.baselines.video import Av1, Hevc
from deepstd.baselines.volumes import Sperr, Sz3, Zfp
from deepstd.baselines.vvc import Vvc
from deepstd.baselines.wavelet import Jpeg2000Volume
from deepstd.errors import MissingExtraError

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


def missing(name: str) -> str | None:
    """Return the reason why a codec cannot be used on this machine, or None where it can."""
    try:
        (LOSSY.get(name) or LOSSLESS[name]).check()
    except MissingExtraError as error:
        return str(error)
    return None
