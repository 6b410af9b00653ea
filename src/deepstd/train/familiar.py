"""Statistics of the validation scans of a new bundle, written beside it.

cache ─ validation scans, the studies in turn ─ familiarity_of ─▶ familiarity.json
"""

from __future__ import annotations

from collections.abc import Sequence

from deepstd.bundle import Bundle
from deepstd.bundle.familiarity import save_familiarity
from deepstd.codec.model import Model
from deepstd.codec.usual import familiarity_of
from deepstd.train.cache import CachedScan
from deepstd.train.ready import from_every_source, of_kind
from deepstd.volume import Volume

# Validation scans of each number of axes; more hardly change a mean and a deviation.
_MOST = 24


def write_familiarity(bundle: Bundle, scans: Sequence[CachedScan]) -> int:
    """Measure how validation scans of a cache fit a bundle; write the file, and count them.

    Args:
        bundle: a bundle in its folder.
        scans: scans of the cache, also those of other splits and other numbers of axes.
    """
    chosen: list[CachedScan] = []
    for ndim in (2, 3):
        if str(ndim) in bundle.manifest.networks:
            chosen += from_every_source(of_kind(scans, ndim, "validation"))[:_MOST]
    volumes = (Volume(scan.voxels, scan.affine) for scan in chosen)
    save_familiarity(bundle.folder, familiarity_of(Model(bundle, "cpu"), volumes))
    return len(chosen)
