"""Guard against the unfamiliar: a scan compared with the validation scans of its bundle.

fields, texture encoders, step, bytes ─ measures ─┐
familiarity.json of the bundle ─ limits ──────────┴▶ Familiarity: findings, region
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from deepstd.bundle.familiarity import Residuals, Usual, ValidationStatistics
from deepstd.codec import fit
from deepstd.codec.file_builder import EncodedScan
from deepstd.codec.fit import BITS, MEASURES, REGION, TOGETHER, UPRIGHT, Measure, spread
from deepstd.codec.regions import around_peak, region_of
from deepstd.codec.shape_stage import FrameShape
from deepstd.codec.spots import SPOT, spots
from deepstd.conditioning import Conditioning
from deepstd.findings import Familiarity, Finding, Region
from deepstd.texture.codec import Encoder


@dataclass(frozen=True)
class Coded:
    """An encoded scan with its registration, as a judgement needs them.

    Attributes:
        fitted: registration of each frame, whether the file keeps it or not; empty without.
        encoders: texture encoder of each frame.
        step_code: code of the quantisation step.
        nbytes: bytes of the textures.
        affine: voxel-to-world matrix, (4, 4), or None.
    """

    fitted: Sequence[FrameShape]
    encoders: Sequence[Encoder]
    step_code: int
    nbytes: int
    affine: np.ndarray | None

    @staticmethod
    def of(result: EncodedScan, fitted: Sequence[FrameShape], affine: np.ndarray | None) -> Coded:
        """Make it of an encoding; other arguments are those of the class."""
        nbytes = sum(t.nbytes for t in result.texture)
        return Coded(fitted, result.encoders, result.point.step_code, nbytes, affine)


@dataclass(frozen=True)
class Local:
    """A measure of every part of the template, whose largest excess counts.

    Attributes:
        measure: the measure of the largest ratio to what is usual.
        map_of: computes the map of a scan from its conditioning and grey values, NaN where the
            scan hardly covers the template.
        usual_of: takes the usual map from the statistics of a bundle; None where it has none.
    """

    measure: Measure
    map_of: Callable[[Conditioning, np.ndarray], np.ndarray]
    usual_of: Callable[[ValidationStatistics], Residuals | None]

    def excess_of(self, shape: FrameShape, encoder: Encoder, usual: Residuals) -> np.ndarray:
        """Return the ratio of each part of the template to the usual one; 0 where not covered."""
        found = self.map_of(_conditioning(shape), encoder.values)
        expected = np.array(usual.energy).reshape(usual.cells)
        # Maps are smoothed: a part may have a value without a voxel, and so without a place.
        parts = self.parts_of(shape, encoder, len(found)).reshape(-1)
        empty = np.bincount(parts, minlength=found.size).reshape(found.shape) == 0
        return np.where(empty, 0.0, np.nan_to_num(found / spread(expected, found.shape)))

    def parts_of(self, shape: FrameShape, encoder: Encoder, cells: int) -> np.ndarray:
        """Return the number of the part of each voxel, for a map of so many cells an axis."""
        return fit.part_of(_conditioning(shape), encoder.values.shape, cells)


LOCAL = (
    Local(REGION, fit.mean_energy, lambda known: known.residuals),
    Local(SPOT, spots, lambda known: known.spots),
)
"""Measures of places, those of the energy left and of spots."""


def _conditioning(shape: FrameShape) -> Conditioning:
    if shape.conditioning is None:
        raise ValueError("a registered scan has a warped template")
    return shape.conditioning


def judged(known: ValidationStatistics | None, coded: Coded) -> Familiarity:
    """Compare a scan with the validation scans of its bundle.

    Args:
        known: statistics of the validation scans; None for a bundle without.
        coded: the encoded scan.
    """
    if known is None:
        return Familiarity(judged=False)
    findings: list[Finding] = []
    values = [encoder.values for encoder in coded.encoders]
    measured = fit.registration_measures(coded.fitted, values)
    if measured and known.measures:
        measured[TOGETHER] = fit.together(measured, known.measures)
    upright = [shape.upright for shape in coded.fitted if shape.upright is not None]
    if measured and upright:
        measured[UPRIGHT] = float(np.mean(upright))
    for measure in (*MEASURES, UPRIGHT, TOGETHER):
        if measure in measured and measure.name in known.measures:
            findings += _beyond(measure, measured[measure], known.measures[measure.name])
    log_rate, bits = fit.rate_of(coded.encoders, coded.step_code, coded.nbytes)
    usual = known.bits_at(values[0].ndim, log_rate)
    if usual is not None:
        findings += _beyond(BITS, bits, usual)
    region, farthest = None, -np.inf
    for local in LOCAL if measured else ():
        usual = local.usual_of(known)
        if usual is None:
            continue
        place = worst_explained(coded, local, usual)
        findings += _beyond(local.measure, place.excess, usual.largest)
        # The place named is that of the measure which is the less usual.
        distance = local.measure.normal(place.excess) - usual.largest.mean
        if distance / usual.largest.deviation > farthest:
            region, farthest = place, distance / usual.largest.deviation
    return Familiarity(judged=True, findings=tuple(findings), unexplained=region)


def note_of(found: Familiarity, bundle: str) -> str | None:
    """Return a note for files and reports on an unfamiliar scan; None for a familiar one.

    Args:
        found: the judgement.
        bundle: name of the bundle.
    """
    if not found.unfamiliar:
        return None
    text = f"unlike the scans of {bundle}: " + "; ".join(one.text for one in found.findings)
    local = any(one.measure in (REGION.name, SPOT.name) for one in found.findings)
    return f"{text} at {found.unexplained.place}" if local and found.unexplained else text


def worst_explained(coded: Coded, local: Local, usual: Residuals) -> Region:
    """Return the region whose residual has the largest ratio to the usual one there."""
    ratios = [
        local.excess_of(s, e, usual) for s, e in zip(coded.fitted, coded.encoders, strict=True)
    ]
    worst = int(np.argmax([ratio.max() for ratio in ratios]))
    inner = around_peak(ratios[worst]).reshape(-1)
    mask = inner[local.parts_of(coded.fitted[worst], coded.encoders[worst], len(ratios[worst]))]
    frame = worst if len(ratios) > 1 else None
    return region_of(mask, float(ratios[worst].max()), coded.affine, frame)


def _beyond(measure: Measure, value: float, usual: Usual) -> list[Finding]:
    """Return a finding where a value lies beyond the limit of a measure."""
    distance = measure.sign * (measure.normal(value) - usual.mean)
    if distance <= usual.margin:
        return []
    limit = measure.value(usual.mean + measure.sign * usual.margin)
    return [Finding(measure.name, value, limit)]
