"""Reference codecs, each brought to the same number of bytes as a DeepSTD file.

    voxels, bytes allowed ─ encode_at(name) ─▶ bytes used, restored voxels, seconds

Every doubt is decided in favour of the reference codec. Only its raw codestreams are counted: no
container, geometry, slice lengths, intensity mapping or comment segments. Encoding time covers the
final encoding alone, not the search for its setting.
"""

from deepstd.baselines.base import (
    Baseline,
    BaselineResult,
    Budgeted,
    Encoded,
    Lossless,
    encode_exactly,
    encode_within,
    fit_to_bytes,
)
from deepstd.baselines.catalogue import LOSSLESS, LOSSY, NEURAL, encode_at, lossy, missing, title
from deepstd.baselines.lossless import Gzip, JpegLs, JpegXlLossless
from deepstd.baselines.neural.fitted import Brief, Gaussians
from deepstd.baselines.neural.learned import Dvc, Tcm
from deepstd.baselines.slices import Htj2k, Jpeg, Jpeg2000, JpegXl
from deepstd.baselines.video import Av1, Hevc
from deepstd.baselines.volumes import Sperr, Sz3, Zfp
from deepstd.baselines.vvc import Vvc
from deepstd.baselines.wavelet import Jpeg2000Volume

__all__ = [
    "LOSSLESS",
    "LOSSY",
    "NEURAL",
    "Av1",
    "Baseline",
    "BaselineResult",
    "Brief",
    "Budgeted",
    "Dvc",
    "Encoded",
    "Gaussians",
    "Gzip",
    "Hevc",
    "Htj2k",
    "Jpeg",
    "Jpeg2000",
    "Jpeg2000Volume",
    "JpegLs",
    "JpegXl",
    "JpegXlLossless",
    "Lossless",
    "Sperr",
    "Sz3",
    "Tcm",
    "Vvc",
    "Zfp",
    "encode_at",
    "encode_exactly",
    "encode_within",
    "fit_to_bytes",
    "lossy",
    "missing",
    "title",
]
