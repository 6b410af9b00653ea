"""Regions of a scan that is coded slice by slice.

region ─ its slices, and the references that they need ─▶ Slices.decode ─▶ values of the region
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepstd.texture.opened import Kept
from deepstd.texture.slices.decoder import Slices
from deepstd.texture.tiling import Region


@dataclass(frozen=True)
class OpenedSlices:
    """A texture of slices.

    Attributes:
        slices: streams of all slices.
        kept: place of restored slices, and of the reconstructions of reference slices.
    """

    slices: Slices
    kept: Kept

    @property
    def scale(self) -> tuple[float, float]:
        """Quantisation step in grey values, and grey value of 0 steps."""
        return self.slices.scale

    def steps(self, region: Region) -> np.ndarray:
        """Return restored values of a region in steps (`OpenedTexture.steps`)."""
        axis, cache, frame = self.slices.axis, self.kept.cache, self.kept.frame
        span = region[axis]
        found = {n: cache.find((frame, "slice", n)) for n in range(span.start, span.stop)}
        wanted = [n for n, values in found.items() if values is None]
        if wanted:
            held = {n: cache.find((frame, "low", n)) for n in range(self.slices.count)}
            lows = {n: low for n, low in held.items() if low is not None}
            known = set(lows)
            numbers = self.slices.needed(wanted, known)
            for number, part, _ in self.slices.decode(wanted, numbers, lows):
                found[number] = part
                cache.put((frame, "slice", number), part, part.nbytes)
            for number in lows.keys() - known:
                cache.put((frame, "low", number), lows[number], lows[number].nbytes)
        inside = tuple(part for a, part in enumerate(region) if a != axis)
        return np.stack([values[inside] for values in found.values()], axis)
