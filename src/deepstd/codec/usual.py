"""Statistics of the validation scans of a bundle, which later scans are compared with.

validation scans ─ register, encode at some relative steps ─▶ measures ─▶ ValidationStatistics
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from deepstd import io
from deepstd.bundle.familiarity import BitsAt, Residuals, Usual, ValidationStatistics
from deepstd.codec import fit
from deepstd.codec.backgrounds import take_out
from deepstd.codec.fit import BITS, CELLS, MEASURES, REGION, TOGETHER, Measure
from deepstd.codec.frames import frames_of, spacing_of
from deepstd.codec.model import Model
from deepstd.codec.shape_stage import encode_shape
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
    """

    ndim: int
    measures: dict[Measure, float]
    bits: list[float]
    energy: np.ndarray | None


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
        for measure in MEASURES:
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
    energies = [scan.energy for scan in scans if scan.energy is not None]
    residuals = _residuals(np.stack(energies)) if len(energies) >= _FEWEST else None
    found = {"measures": measures, "bits": bits, "residuals": residuals}
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
    energy = None
    if shape.conditioning is not None:
        sums, voxels = fit.energies(shape.conditioning, values)
        energy = np.where(fit.well_seen(voxels), sums / np.maximum(voxels, 1e-9), np.nan)
    measures = fit.registration_measures([shape], [values])
    return _Scan(len(seen), measures, list(_bits(model, encoder)), energy)


def _bits(model: Model, encoder: fit.Encoder) -> Iterator[float]:
    """Yield log2 of the bits per voxel at each of `_RATES`."""
    wider = math.log2(encoder.scaling.range / fit.robust_range(encoder.values))
    for rate in _RATES:
        code = min(round((rate + wider) * STEPS_PER_OCTAVE), encoder.finest)
        encoded = encoder.encode(code, model.bundle.manifest.rate_weight)
        yield BITS.normal(fit.rate_of([encoder], code, encoded.nbytes)[1])


def _residuals(energies: np.ndarray) -> Residuals:
    """Return the usual energy of each part, and how far a scan left out of it exceeds it.

    Args:
        energies: (scans, CELLS, …), NaN where a scan hardly covers a part.
    """
    largest = []
    for number, own in enumerate(energies):
        usual = _usual_energy(np.delete(energies, number, 0))
        largest.append(REGION.normal(float(np.nanmax(own / usual))))
    usual = _usual_energy(energies).reshape(-1)
    rounded = tuple(float(f"{value:.{_DIGITS}g}") for value in usual)
    cells = (CELLS,) * (energies.ndim - 1)
    return Residuals(cells=cells, energy=rounded, largest=Usual.of(np.array(largest), REGION.least))


def _usual_energy(energies: np.ndarray) -> np.ndarray:
    """Return the mean over scans; where few cover a part, it is drawn to the mean of all parts."""
    covered = np.isfinite(energies)
    count = covered.sum(0)
    everywhere = float(energies[covered].mean())
    total = np.where(covered, energies, 0).sum(0)
    return (total + _PRIOR_SCANS * everywhere) / (count + _PRIOR_SCANS)
