"""A group-wise average and the fields that lead to it, from a population of scans.

    scans ─ base maps ─▶ canvases ─ Population ─▶ trunk, heads of every scan
      ─▶ mean of the scans warped by Φ_F, corrected by what its warps by Φ_B lack, smoothed where
         scans do not have its detail ─▶ template
      ─▶ everything in integers, modes ─▶ some scans registered: usual loss and symbol sizes

The paper takes the scan with the widest imaging range as its template; here that scan gives only
the grid, and no single person's anatomy is in the bundle.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from deepstd.errors import InputError
from deepstd.geometry import COORDINATE_BITS, BaseMap, base_map, resample
from deepstd.shape.alignment import Frame, align, canvas_frame, normalised
from deepstd.shape.detail import smoothed
from deepstd.shape.model import HEAD_BITS, TEMPLATE_MAX, WEIGHT_BITS, ShapeModel, integers
from deepstd.shape.modes import find_modes, scale_indices
from deepstd.shape.population import Population, Progress, filled
from deepstd.shape.register import STEPS, TRIAL_STEPS, HeadFit
from deepstd.shape.siren import BACKWARD, FORWARD

WIDTH = 64
OMEGAS = (10, 8, 6)
_MAX_TEMPLATE_VOXELS = 1 << 20
_CALIBRATION_SCANS = 64
_CORRECTION_VOXELS = 1 << 16
_CORRECTION_CAUTION = 5.0
_DETAIL_SCANS = 16
_FIT_SHARE = 0.6


def build_shape_model(
    volumes: Sequence[np.ndarray],
    affines: Sequence[np.ndarray | None],
    *,
    max_seconds: float,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> ShapeModel:
    """Average a population and learn how its members differ in shape.

    Args:
        volumes: float32 scans of one body part, each 2-D or each 3-D, any scale of grey values;
            what is not finite is not part of a scan.
        affines: (4, 4) voxel-to-world matrices; geometry is used where every scan has it.
        max_seconds: time to keep to, roughly; fewer steps are done where it is short.
        seed: of the random numbers.
        device: where to fit.
        progress: called with a sentence and the share done.

    Raises:
        InputError: no scan, or scans of different numbers of axes.
        GeometryError: an affine is singular.
    """
    if not volumes or len({v.ndim for v in volumes}) != 1 or len(volumes) != len(affines):
        raise InputError("a template needs one or more scans of the same number of axes")
    if any(a is None for a in affines):
        affines = [None] * len(volumes)
    report = progress or (lambda message, share: None)
    shape, affine = template_grid([v.shape for v in volumes], affines)
    reach = _reach(shape, affine)
    frame = canvas_frame(shape, reach).to(device)
    placements = [
        base_map(v.shape, a, shape, affine) for v, a in zip(volumes, affines, strict=True)
    ]
    nodes = frame.nodes()
    raw = torch.stack(
        [
            align(v, p, frame, nodes).reshape(2, *frame.canvas_shape)
            for v, p in zip(volumes, placements, strict=True)
        ]
    ).to(device)
    report("scans aligned by their headers", 0.05)
    population = Population(normalised(raw), frame, WIDTH, float(OMEGAS[0]), seed)
    population.fit(_FIT_SHARE * max_seconds, lambda message, done: report(message, 0.6 * done))
    fine = Frame(shape, frame.reach, (1,) * len(shape))
    laid = partial(_laid, volumes, placements, fine, population, raw)
    total = np.zeros((2, *shape))
    for scan in laid(range(len(volumes))):
        total += scan
    template = filled(total)
    report("template averaged", 0.75)
    template = _corrected(template, volumes, placements, fine, population)
    some = range(0, len(volumes), math.ceil(len(volumes) / _DETAIL_SCANS))
    template = smoothed(template, list(laid(some)))
    report("template corrected", 0.9)
    model = _assemble(_grey_levels(template), affine, reach, population)
    return _calibrated(model, frame, population.canvases)


def template_grid(
    shapes: Sequence[tuple[int, ...]], affines: Sequence[np.ndarray | None]
) -> tuple[tuple[int, ...], np.ndarray | None]:
    """The template's shape and affine: axes and spacing of the widest scan, room for them all."""
    ndim = len(shapes[0])
    if affines[0] is None:
        widest = max(shapes, key=lambda s: math.prod(s))
        extent, directions = np.array(widest, dtype=np.float64), None
    else:
        spacing = [np.linalg.norm(np.asarray(a)[:3, :ndim], axis=0) for a in affines]
        widest = int(np.argmax([np.prod(s * n) for s, n in zip(spacing, shapes, strict=True)]))
        directions = np.asarray(affines[widest], dtype=np.float64)[:3, :ndim]
        inverse = np.linalg.pinv(directions)
        extent = np.max(
            [
                np.abs(inverse @ np.asarray(a)[:3, :ndim]) @ np.array(s)
                for a, s in zip(affines, shapes, strict=True)
            ],
            axis=0,
        )
    coarser = max(1.0, (float(np.prod(extent)) / _MAX_TEMPLATE_VOXELS) ** (1 / ndim))
    shape = tuple(max(2, math.ceil(round(float(e) / coarser, 3))) for e in extent)
    if directions is None:
        return shape, None
    affine = np.eye(4)
    affine[:3, :ndim] = directions * coarser
    affine[:3, 3] = -affine[:3, :ndim] @ ((np.array(shape) - 1) / 2)
    return shape, affine


def _reach(shape: tuple[int, ...], affine: np.ndarray | None) -> np.ndarray:
    """Half the longest extent, in 1/256 voxels of each axis."""
    ndim = len(shape)
    spacing = np.ones(ndim) if affine is None else np.linalg.norm(affine[:3, :ndim], axis=0)
    half = float(np.max(spacing * np.array(shape))) / 2
    return np.rint(half / spacing * (1 << COORDINATE_BITS)).astype(np.int64)


@torch.no_grad()
def _laid(
    volumes: Sequence[np.ndarray],
    placements: Sequence[BaseMap],
    fine: Frame,
    population: Population,
    raw: Tensor,
    chosen: Sequence[int],
) -> Iterator[np.ndarray]:
    """Scans, each at mean 0 and variance 1, warped by Φ_F at full resolution, and their masks.

    Those without contrast are left out.
    """
    nodes = fine.nodes()
    features = population.features(nodes)[FORWARD]
    for index in chosen:
        y = nodes + features @ population.heads[FORWARD, index]
        found = align(volumes[index], placements[index], fine, y)
        values, mask = found.reshape(2, *fine.template_shape).numpy()
        known = raw[index, 0][raw[index, 1].bool()]
        spread = float(known.std(correction=0)) if len(known) else 0.0
        if spread > 0:
            yield np.stack([(values - float(known.mean())) / spread * mask, mask])


def _corrected(
    template: np.ndarray,
    volumes: Sequence[np.ndarray],
    placements: Sequence[BaseMap],
    frame: Frame,
    population: Population,
) -> np.ndarray:
    """One step towards the template whose warps by Φ_B come nearest to the scans.

    What the scans have and the warped template lacks is laid back on the template and averaged.
    """
    device = frame.reach.device
    image = torch.from_numpy(template).to(device)[None, None].requires_grad_()
    excess, count = torch.zeros_like(image), torch.zeros_like(image)
    heads = population.heads[BACKWARD]
    generator = np.random.default_rng(0)
    for index, (volume, placement) in enumerate(zip(volumes, placements, strict=True)):
        seen = np.flatnonzero(np.isfinite(volume))
        if len(seen) > _CORRECTION_VOXELS:
            seen = np.sort(generator.choice(seen, _CORRECTION_VOXELS, replace=False))
        matrix, offset = placement.as_float()
        t = np.stack(np.unravel_index(seen, volume.shape), -1) @ matrix.T + offset
        q = (torch.from_numpy(t.astype(np.float32)).to(device) - frame.centre) / frame.reach
        y = q + population.features(q)[BACKWARD] @ heads[index]
        warped = resample(image, frame.to_template(y)[None])[0, 0]
        scan = torch.from_numpy(volume.reshape(-1)[seen]).to(device)
        with torch.no_grad():
            matched = (scan - scan.mean()) / scan.std().clamp_min(1e-12) * warped.std()
            difference = matched + warped.mean() - warped
            share = ((y.abs() <= population.trunk.limit).all(-1)).to(difference.dtype)
        lacking = (warped * difference * share).sum()
        excess += torch.autograd.grad(lacking, image, retain_graph=True)[0]
        count += torch.autograd.grad((warped * share).sum(), image)[0]
    step = excess / (count + _CORRECTION_CAUTION)
    return template + step[0, 0].cpu().numpy()


def _grey_levels(template: np.ndarray) -> np.ndarray:
    """uint16, 0 to 1023."""
    low, high = np.percentile(template, [0.05, 99.95])
    scaled = (template - low) / max(float(high - low), 1e-12) * TEMPLATE_MAX
    return np.rint(scaled.clip(0, TEMPLATE_MAX)).astype(np.uint16)


def _assemble(
    template: np.ndarray, affine: np.ndarray | None, reach: np.ndarray, population: Population
) -> ShapeModel:
    """Everything in integers; one set of heads and modes for each Ω."""
    trunk, frame = population.trunk, population.frame
    nodes, heads = frame.nodes(), population.heads
    starts, modes, scales = [], [], []
    with torch.no_grad():
        learnt = population.features(nodes)
        for omega in OMEGAS:
            features = trunk.features(nodes[None], float(omega))
            own = heads if omega == OMEGAS[0] else _projected(learnt, heads, features)
            start = own.mean(1)
            mode, scale = find_modes(features[BACKWARD], own[BACKWARD], population.average, frame)
            starts.append(integers(start, HEAD_BITS))
            modes.append(mode)
            scales.append(scale)
    return ShapeModel(
        template=template,
        affine=affine,
        reach=reach,
        omegas=OMEGAS,
        threshold=0.0,
        weight1=integers(trunk.weight1, WEIGHT_BITS),
        bias1=integers(trunk.bias1, WEIGHT_BITS),
        weight2=integers(trunk.weight2, WEIGHT_BITS),
        bias2=integers(trunk.bias2, WEIGHT_BITS),
        heads=np.stack(starts),
        modes=np.stack(modes),
        scale_index=np.stack(scales),
    )


def _projected(learnt: Tensor, heads: Tensor, features: Tensor) -> Tensor:
    """Heads on other features that come nearest to the same displacements (ridge regression)."""
    fields, batch, rows, ndim = heads.shape
    gram = features.mT @ features
    ridge = 1e-3 * gram.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
    gram = gram + ridge * torch.eye(rows, device=gram.device)
    side = heads.movedim(1, 2).reshape(fields, rows, batch * ndim)
    solved = torch.linalg.solve(gram, features.mT @ (learnt @ side))
    return solved.reshape(fields, rows, batch, ndim).movedim(2, 1)


def _calibrated(model: ShapeModel, frame: Frame, canvases: Tensor) -> ShapeModel:
    """The model with the usual loss and symbol sizes of (some of) the training scans."""
    some = canvases[:: math.ceil(len(canvases) / _CALIBRATION_SCANS)]
    fit = HeadFit(model, frame, some, 0)
    trial = fit.run(TRIAL_STEPS)
    fit.run(STEPS)
    spread = (fit.moves.detach() * fit.usual).square().mean(0).sqrt().cpu().numpy()
    scales = model.scale_index.copy()
    scales[0] = scale_indices(spread)
    return replace(model, threshold=float(torch.quantile(trial.cpu(), 0.75)), scale_index=scales)
