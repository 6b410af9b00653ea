"""Other codecs, each brought to the same number of bytes as a DeepSTD file.

    voxels, bytes allowed ─ fit_to_bytes(codec) ─▶ bytes used, restored voxels, seconds

Every doubt is decided in favour of the peer. Only its raw codestreams are counted: no container,
no geometry, no slice lengths, no intensity mapping, and no comment segments; encoding time is that
of the final encoding alone, not of the search for its setting.
"""

from deepstd.baselines.base import Baseline, BaselineResult, Encoded, fit_to_bytes
from deepstd.baselines.slices import Jpeg, Jpeg2000
from deepstd.baselines.sperr import Sperr

__all__ = ["Baseline", "BaselineResult", "Encoded", "Jpeg", "Jpeg2000", "Sperr", "fit_to_bytes"]
