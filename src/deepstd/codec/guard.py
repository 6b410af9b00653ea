"""Guard against the unfamiliar: a scan compared with the validation scans of its bundle.

fields, texture encoders, step, bytes ─ measures ─┐
familiarity.json of the bundle ─ limits ──────────┴▶ Familiarity: findings, region
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepstd.bundle.familiarity import Residuals, Usual, ValidationStatistics
from deepstd.codec import fit
from deepstd.codec.file_builder import EncodedScan
from deepstd.codec.fit import BITS, MEASURES, REGION, TOGETHER, Measure
from deepstd.codec.regions import around_peak, region_of
from deepstd.codec.shape_stage import FrameShape
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
    for measure in (*MEASURES, TOGETHER):
        if measure in measured and measure.name in known.measures:
            findings += _beyond(measure, measured[measure], known.measures[measure.name])
    log_rate, bits = fit.rate_of(coded.encoders, coded.step_code, coded.nbytes)
    usual = known.bits_at(values[0].ndim, log_rate)
    if usual is not None:
        findings += _beyond(BITS, bits, usual)
    region = None
    if known.residuals is not None and measured:
        region = worst_explained(coded, known.residuals)
        findings += _beyond(REGION, region.excess, known.residuals.largest)
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
    local = any(one.measure == REGION.name for one in found.findings)
    return f"{text} at {found.unexplained.place}" if local and found.unexplained else text


def worst_explained(coded: Coded, usual: Residuals) -> Region:
    """Return the region whose residual has the largest ratio to the usual one there."""
    expected = np.array(usual.energy).reshape(usual.cells)
    ratios = [excess_of(s, e, expected) for s, e in zip(coded.fitted, coded.encoders, strict=True)]
    worst = int(np.argmax([ratio.max() for ratio in ratios]))
    encoder, conditioning = coded.encoders[worst], coded.fitted[worst].conditioning
    if conditioning is None:
        raise ValueError("a registered scan has a warped template")
    inner = around_peak(ratios[worst]).reshape(-1)
    mask = inner[fit.part_of(conditioning, encoder.values.shape)]
    frame = worst if len(ratios) > 1 else None
    return region_of(mask, float(ratios[worst].max()), coded.affine, frame)


def excess_of(shape: FrameShape, encoder: Encoder, expected: np.ndarray) -> np.ndarray:
    """Return the ratio of the residual of each part of the template to the usual one.

    Parts that the scan hardly covers have ratio 0.
    """
    if shape.conditioning is None:
        raise ValueError("a registered scan has a warped template")
    sums, voxels = fit.energies(shape.conditioning, encoder.values)
    seen = fit.well_seen(voxels)
    return np.where(seen, sums / np.maximum(voxels, 1e-9) / expected, 0.0)


def _beyond(measure: Measure, value: float, usual: Usual) -> list[Finding]:
    """Return a finding where a value lies beyond the limit of a measure."""
    distance = measure.sign * (measure.normal(value) - usual.mean)
    if distance <= usual.margin:
        return []
    limit = measure.value(usual.mean + measure.sign * usual.margin)
    return [Finding(measure.name, value, limit)]
