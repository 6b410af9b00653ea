"""Statistics of the validation scans of a bundle, which later scans are compared with.

validation scans ─ register, encode at some relative steps ─▶ measures ─▶ ValidationStatistics
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from deepstd import io
from deepstd.bundle.familiarity import BitsAt, Residuals, Usual, ValidationStatistics
from deepstd.codec import fit
from deepstd.codec.backgrounds import take_out
from deepstd.codec.fit import BITS, CELLS, MEASURES, REGION, TOGETHER, UPRIGHT, Measure, spread
from deepstd.codec.frames import frames_of, spacing_of
from deepstd.codec.model import Model
from deepstd.codec.shape_stage import encode_shape
from deepstd.codec.spots import SPOT, spots
from deepstd.texture.scaling import STEPS_PER_OCTAVE
from deepstd.volume import Volume

_RATES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)  # log2 of the robust range in steps
_ROOM = 1 << 30  # bytes that a mask of special values may take: no size is asked for here
# Scans that the usual residual counts as where few scans cover a part of the template.
_PRIOR_SCANS = 3
_FEWEST = 4  # scans that tell a deviation
_DIGITS = 4


@dataclass(frozen=True)
class _Scan:
    """Measures of one validation scan.

    Attributes:
        ndim: axes that the network sees.
        measures: of the registration; empty without a template.
        bits: log2 of bits per voxel at each of `_RATES`.
        energy: mean squared residual of each part of the template, NaN where hardly covered.
        spots: squared residual of spots in each fine part of the template, likewise.
    """

    ndim: int
    measures: dict[Measure, float]
    bits: list[float]
    energy: np.ndarray | None
    spots: np.ndarray | None


def familiarity_of(model: Model, volumes: Iterable[Volume]) -> ValidationStatistics:
    """Measure how validation scans fit a bundle.

    Of a scan with frames the first is measured. Measures of fewer than four scans are left out.

    Args:
        model: networks and template of the bundle.
        volumes: validation scans of other patients than the training scans.

    Raises:
        InputError: the bundle has no network for the axes of a scan.
        GeometryError: a scan cannot be laid on the template.
    """
    scans = [_measured(model, volume) for volume in volumes]
    registered = [scan.measures for scan in scans if scan.measures]
    measures: dict[str, Usual] = {}
    if len(registered) >= _FEWEST:
        for measure in (*MEASURES, UPRIGHT):
            values = np.array([measure.normal(found[measure]) for found in registered])
            measures[measure.name] = Usual.of(values, measure.least)
        values = np.array([fit.together(found, measures) for found in registered])
        measures[TOGETHER.name] = Usual.of(values, TOGETHER.least)
    bits: dict[str, list[BitsAt]] = {}
    for ndim in (2, 3):
        table = np.array([scan.bits for scan in scans if scan.ndim == ndim])
        if len(table) >= _FEWEST:
            bits[str(ndim)] = [
                BitsAt(log_rate=rate, bits=Usual.of(column, BITS.least))
                for rate, column in zip(_RATES, table.T, strict=True)
            ]
    found = {
        "measures": measures,
        "bits": bits,
        "residuals": _residuals([scan.energy for scan in scans], REGION),
        "spots": _residuals([scan.spots for scan in scans], SPOT),
    }
    return ValidationStatistics.model_validate(found)


def _measured(model: Model, volume: Volume) -> _Scan:
    volume = io.with_own_header(volume)
    affine, frame = io.placement_of(volume.source), frames_of(volume)[0]
    parts = take_out([frame], _ROOM, spacing_of(affine, frame.shape, frame.shape), volume.padding)
    values = parts.frames[0][0]
    codec, seen = model.codec_for(values.shape)
    shape = encode_shape(model, values, affine, field=model.shape_model is not None)
    spacing = spacing_of(affine, values.shape, seen)
    encoder = codec.encoder(values.reshape(seen), spacing, shape.conditioning, None)
    energy = spotted = None
    if shape.conditioning is not None:
        energy = fit.mean_energy(shape.conditioning, values)
        spotted = spots(shape.conditioning, values)
    measures = fit.registration_measures([shape], [values])
    if measures and shape.upright is not None:
        measures[UPRIGHT] = shape.upright
    return _Scan(len(seen), measures, list(_bits(model, encoder)), energy, spotted)


def _bits(model: Model, encoder: fit.Encoder) -> Iterator[float]:
    """Yield log2 of the bits per voxel at each of `_RATES`."""
    wider = math.log2(encoder.scaling.range / fit.robust_range(encoder.values))
    for rate in _RATES:
        code = min(round((rate + wider) * STEPS_PER_OCTAVE), encoder.finest)
        encoded = encoder.encode(code, model.bundle.manifest.rate_weight)
        yield BITS.normal(fit.rate_of([encoder], code, encoded.nbytes)[1])


def _residuals(found: Sequence[np.ndarray | None], measure: Measure) -> Residuals | None:
    """Return the usual energy of each part, and how far a scan left out of it exceeds it.

    Args:
        found: map of parts of each scan, NaN where it hardly covers a part; None without.
        measure: measure of the excess.

    Returns:
        None of too few scans.
    """
    known = [one for one in found if one is not None]
    if len(known) < _FEWEST:
        return None
    maps = np.stack(known)
    largest = []
    for number, own in enumerate(maps):
        usual = spread(_usual_energy(np.delete(maps, number, 0)), own.shape)
        largest.append(measure.normal(float(np.nanmax(own / usual))))
    usual = _usual_energy(maps)
    rounded = tuple(float(f"{value:.{_DIGITS}g}") for value in usual.reshape(-1))
    largest_usual = Usual.of(np.array(largest), measure.least)
    return Residuals(cells=usual.shape, energy=rounded, largest=largest_usual)


def _usual_energy(maps: np.ndarray) -> np.ndarray:
    """Return the mean over scans, in CELLS parts along each axis, float64.

    Where few scans cover a part, it is drawn to the mean of all parts.
    """
    covered = np.isfinite(maps)
    everywhere = float(maps[covered].mean())
    count = _pooled(covered.sum(0))
    prior = _PRIOR_SCANS * (maps[0].size / count.size)
    return (_pooled(np.where(covered, maps, 0).sum(0)) + prior * everywhere) / (count + prior)


def _pooled(fine: np.ndarray) -> np.ndarray:
    """Return sums over the fine parts of each of CELLS parts along each axis."""
    for axis, size in enumerate(fine.shape):
        fine = np.add.reduceat(fine, np.arange(0, size, size // CELLS), axis)
    return fine
