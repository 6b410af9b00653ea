"""Registration of a scan to a bundle's template by a cycle-consistent pair of fields.

    scan ─ canvas ─▶ Adam on sampled voxels ─▶ heads of Φ_F and Φ_B ─ round ─▶ FieldCode, report

The hidden layers come from the bundle. A scan fits only the heads, and the backward head only along
the bundle's modes. Where the loss stays above the model's threshold, Ω is lowered and a smoother
field is fitted (paper, Methods, "Gradual degradation strategy"). Two details differ from the paper:
as printed it lowers Ω where the loss is good, and it keeps the last fit. We keep the best fit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from deepstd.container import Registration
from deepstd.shape.alignment import canvas_frame, canvas_of, normalised
from deepstd.shape.fit import STEPS, TRIAL_STEPS, HeadFit
from deepstd.shape.loss import round_trip
from deepstd.shape.model import FieldCode, ShapeModel
from deepstd.shape.similarity import correlation
from deepstd.shape.siren import BACKWARD, determinants, displacements, jacobians

_MEASURED = 1 << 15  # canvas voxels of a report's metrics, at most
_AT_ONCE = 1 << 10  # points measured at once, in the cache


@dataclass(frozen=True)
class ShapeReport:
    """Measurements of a registration.

    Attributes:
        ncc_before: correlation of scan and template by the base map alone, −1 to 1.
        ncc_after: correlation with the quantised field, −1 to 1.
        cycle_error_voxels: mean distance of Φ_B(Φ_F(x)) from x, in template voxels.
        folding_percent: percentage of the canvas where det ∂Φ_B ≤ 0.
        omega: Ω of the field.
        seconds: wall time; the mean where several scans were registered at once.
    """

    ncc_before: float
    ncc_after: float
    cycle_error_voxels: float
    folding_percent: float
    omega: int
    seconds: float


def on_average(reports: Sequence[ShapeReport]) -> Registration:
    """Average the measurements of several frames, for the header of a file."""
    names = [entry.name for entry in fields(Registration)]
    return Registration(*(float(np.mean([getattr(r, n) for r in reports])) for n in names))


def register(
    volume: np.ndarray, affine: np.ndarray | None, model: ShapeModel
) -> tuple[FieldCode, ShapeReport]:
    """Fit the deformation field of a scan to a bundle's template.

    Args:
        volume: float32 of 2 or 3 axes, any scale; non-finite voxels are masked out.
        affine: (4, 4) voxel-to-world matrix in mm, or None.
        model: shape model of the bundle.

    Returns:
        The field with whole symbols, and its measurements.

    Raises:
        GeometryError: the scan cannot be laid on the template.
    """
    return register_all([volume], [affine], model)[0]


def register_all(
    volumes: Sequence[np.ndarray], affines: Sequence[np.ndarray | None], model: ShapeModel
) -> list[tuple[FieldCode, ShapeReport]]:
    """Fit the fields of several scans at once, which is faster than one by one.

    Args:
        volumes: float32 scans of 2 or 3 axes, any scale; non-finite voxels are masked out.
        affines: (4, 4) voxel-to-world matrix in mm of each scan, or None.
        model: shape model of the bundle.

    Returns:
        Field and measurements of each scan; ``seconds`` is the mean over the scans.

    Raises:
        GeometryError: a scan cannot be laid on the template.
    """
    began = time.monotonic()
    frame = canvas_frame(model.template.shape, model.reach)
    canvases = normalised(
        np.stack([canvas_of(v, a, model, frame) for v, a in zip(volumes, affines, strict=True)])
    )
    best: list[tuple[float, int, int]] = [(math.inf, 0, 0)] * len(volumes)
    fits: list[HeadFit] = []
    left = list(range(len(volumes)))
    for index in range(len(model.omegas)):
        fits.append(HeadFit(model, frame, canvases[left], index))
        losses = fits[index].run(TRIAL_STEPS).tolist()
        for row, (scan, loss) in enumerate(zip(left, losses, strict=True)):
            best[scan] = min(best[scan], (loss, index, row))
        left = [s for s, loss in zip(left, losses, strict=True) if not loss <= model.threshold]
        if not left:
            break
    found = {}
    for index in {index for _, index, _ in best}:
        fits[index].run(STEPS)
        symbols = fits[index].symbols()
        found[index] = symbols.astype(np.int32), measure(fits[index], symbols)
    seconds = (time.monotonic() - began) / len(volumes)
    results = []
    for _, index, row in best:
        symbols, measured = found[index]
        metrics = {name: float(values[row]) for name, values in measured.items()}
        report = ShapeReport(**metrics, omega=model.omegas[index], seconds=seconds)
        results.append((FieldCode(index, symbols[row]), report))
    return results


def measure(fit: HeadFit, symbols: np.ndarray) -> dict[str, np.ndarray]:
    """Measure each scan of a fit on evenly spaced canvas voxels.

    Args:
        fit: fitted heads.
        symbols: (B, K) whole symbols.

    Returns:
        (B,) by name of the `ShapeReport` entry.
    """
    voxels = np.arange(0, len(fit.nodes), math.ceil(len(fit.nodes) / _MEASURED))
    heads, batch = fit.heads(symbols), len(symbols)
    warped = np.empty((batch, len(voxels)), np.float32)
    missed, folded = np.zeros(batch), np.zeros(batch)
    for start in range(0, len(voxels), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        x = fit.nodes[voxels[part]]
        features, slopes = fit.layers.features_and_slopes(x[None])
        y = x.T + displacements(features, heads)
        warped[:, part] = fit.images.sample(y).values[BACKWARD]
        back = round_trip(fit.layers, heads, x.T, y).missed[BACKWARD]
        missed += np.linalg.norm(back * fit.frame.reach[:, None], axis=1).sum(-1)
        folded += (determinants(jacobians(slopes, heads))[0][BACKWARD] <= 0).sum(-1)
    template = fit.template.reshape(1, -1)[:, voxels]
    values, mask = fit.canvases.reshape(batch, 2, -1)[..., voxels].swapaxes(0, 1)
    return {
        "ncc_before": correlation(np.broadcast_to(template, values.shape), values, mask),
        "ncc_after": correlation(warped, values, mask),
        "cycle_error_voxels": missed / len(voxels),
        "folding_percent": 100 * folded / len(voxels),
    }
