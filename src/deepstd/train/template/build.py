"""Template and shape model of a population: group-wise average and deformation fields.

    scans ─ base maps ─▶ canvases ─ Population ─▶ trunk, heads of every scan
      ─▶ mean of the scans warped by Φ_F, corrected by the residuals of its warps by Φ_B,
         smoothed where its detail is noise ─▶ template
      ─▶ integer weights, modes ─▶ registration of some scans: loss threshold, symbol scales

The paper takes the scan with the widest imaging range as its template. Here the scan gives only the
grid, and the bundle holds no single person's anatomy.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from deepstd.errors import InputError
from deepstd.geometry import COORDINATE_BITS, BaseMap, base_map
from deepstd.progress import ShowShare
from deepstd.resampling import resample
from deepstd.shape.alignment import Frame, align, canvas_frame, normalised
from deepstd.shape.fit import STEPS, TRIAL_STEPS, HeadFit
from deepstd.shape.model import HEAD_BITS, TEMPLATE_MAX, WEIGHT_BITS, ShapeModel, integers
from deepstd.shape.networks.frame import TensorFrame
from deepstd.shape.siren import BACKWARD, FORWARD
from deepstd.train.template.detail import smoothed
from deepstd.train.template.modes import find_modes, scale_indices
from deepstd.train.template.population import Population, filled

WIDTH = 64  # neurons in a hidden layer of the fields
OMEGAS = (10, 8, 6)  # frequency factors Ω, at the start and after each degradation
_MAX_TEMPLATE_VOXELS = 1 << 20
_CALIBRATION_SCANS, _CALIBRATED_AT_ONCE = 64, 4
_CORRECTION_VOXELS = 1 << 16  # voxels of a scan that the correction sees, at most
_CORRECTION_CAUTION = 5.0  # added to the count of voxels: damps rarely covered template voxels
_DETAIL_SCANS = 16  # scans that the template's detail is compared with
# Shares of the whole time at which each stage ends. A stage short of time uses fewer scans.
_ALIGNED, _FITTED, _AVERAGED, _CORRECTED, _SMOOTHED = 0.15, 0.6, 0.7, 0.85, 0.9
_T = TypeVar("_T")
Placed = tuple[np.ndarray, BaseMap]
"""A scan and its base map."""


def build_shape_model(
    volumes: Sequence[np.ndarray],
    affines: Sequence[np.ndarray | None],
    *,
    max_seconds: float,
    seed: int,
    device: torch.device | str = "cpu",
    progress: ShowShare | None = None,
) -> ShapeModel:
    """Build the template and the shape model of a population.

    Args:
        volumes: float32 scans of one body part, all 2-D or all 3-D, any scale of grey values;
            non-finite voxels are masked out.
        affines: (4, 4) voxel-to-world matrices in mm; used where every scan has one.
        max_seconds: time limit; a short time means fewer steps and fewer scans, drawn at random.
        seed: seed of the random numbers.
        device: device of the fit.
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
    began = time.monotonic()
    shape, affine = template_grid([v.shape for v in volumes], affines)
    reach = _reach(shape, affine)
    frame = canvas_frame(shape, reach)
    nodes = frame.nodes()

    def within(items: Iterable[_T], share: float) -> Iterator[_T]:
        """Yield the first item, and more until a share of the time is over."""
        for item in items:
            yield item
            if time.monotonic() - began >= share * max_seconds:
                return

    # In random order, so that the first scans represent all.
    order = np.random.default_rng(seed).permutation(len(volumes)).tolist()
    placed = ((volumes[n], base_map(volumes[n].shape, affines[n], shape, affine)) for n in order)
    scans: list[Placed] = []
    canvases: list[np.ndarray] = []
    for scan, placement in within(placed, _ALIGNED):
        scans.append((scan, placement))
        canvases.append(align(scan, placement, frame, nodes).reshape(2, *frame.canvas_shape))
    raw = np.stack(canvases)
    report(f"{len(scans)} of {len(volumes)} scans aligned by their headers", 0.05)
    normal = normalised(raw)
    on_device = torch.from_numpy(normal).to(device)
    population = Population(on_device, frame, WIDTH, float(OMEGAS[0]), seed)
    left = _FITTED * max_seconds - (time.monotonic() - began)
    population.fit(max(left, 0.0), lambda message, done: report(message, 0.6 * done))
    fine = Frame(shape, frame.reach, (1,) * len(shape))
    laid = partial(_laid, scans, fine, population, raw)
    total = np.zeros((2, *shape))
    for image in within(laid(range(len(scans))), _AVERAGED):
        total += image
    template = filled(total)
    report("template averaged", 0.75)
    some = within(enumerate(scans), _CORRECTED)
    template = _corrected(template, some, fine, population)
    every = range(0, len(scans), math.ceil(len(scans) / _DETAIL_SCANS))
    template = smoothed(template, list(within(laid(every), _SMOOTHED)))
    report("template corrected", 0.9)
    model = _assemble(_grey_levels(template), affine, reach, population)
    few = normal[:: math.ceil(len(scans) / _CALIBRATION_SCANS)]
    batches = (
        few[first : first + _CALIBRATED_AT_ONCE]
        for first in range(0, len(few), _CALIBRATED_AT_ONCE)
    )
    return _calibrated(model, frame, within(batches, 1.0))


def template_grid(
    shapes: Sequence[tuple[int, ...]], affines: Sequence[np.ndarray | None]
) -> tuple[tuple[int, ...], np.ndarray | None]:
    """Return shape and affine of the template: axes and spacing of the widest scan.

    The extent holds every scan; spacing grows where the template would exceed 2**20 voxels.

    Args:
        shapes: voxels of each scan along each axis.
        affines: (4, 4) voxel-to-world matrices in mm, or all None.
    """
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
    """Return half the longest extent in 1/256 voxels of each axis, (ndim,) int64."""
    ndim = len(shape)
    spacing = np.ones(ndim) if affine is None else np.linalg.norm(affine[:3, :ndim], axis=0)
    half = float(np.max(spacing * np.array(shape))) / 2
    return np.rint(half / spacing * (1 << COORDINATE_BITS)).astype(np.int64)


@torch.no_grad()
def _laid(
    scans: Sequence[Placed],
    fine: Frame,
    population: Population,
    raw: np.ndarray,
    chosen: Sequence[int],
) -> Iterator[np.ndarray]:
    """Yield normalised scans warped by Φ_F at full resolution, with masks, (2, *shape).

    Constant scans are left out.
    """
    nodes = TensorFrame(fine, population.nodes.device).nodes()
    features = population.features(nodes)[FORWARD]
    for index in chosen:
        y = nodes + features @ population.heads[FORWARD, index]
        found = align(*scans[index], fine, y.cpu().numpy())
        values, mask = found.reshape(2, *fine.template_shape)
        known = raw[index, 0][raw[index, 1] > 0]
        spread = float(known.std()) if len(known) else 0.0
        if spread > 0:
            yield np.stack([(values - float(known.mean())) / spread * mask, mask])


def _corrected(
    template: np.ndarray,
    scans: Iterable[tuple[int, Placed]],
    frame: Frame,
    population: Population,
) -> np.ndarray:
    """Take one step towards the template whose warps by Φ_B are nearest to the scans.

    The residuals between scans and warped template are mapped back to the template and averaged.
    """
    device = population.nodes.device
    on_tensors = TensorFrame(frame, device)
    image = torch.from_numpy(template).to(device)[None, None].requires_grad_()
    excess, count = torch.zeros_like(image), torch.zeros_like(image)
    heads = population.heads[BACKWARD]
    generator = np.random.default_rng(0)
    for index, (volume, placement) in scans:
        seen = np.flatnonzero(np.isfinite(volume))
        if len(seen) > _CORRECTION_VOXELS:
            seen = np.sort(generator.choice(seen, _CORRECTION_VOXELS, replace=False))
        matrix, offset = placement.as_float()
        t = np.stack(np.unravel_index(seen, volume.shape), -1) @ matrix.T + offset
        t = torch.from_numpy(t.astype(np.float32)).to(device)
        q = (t - on_tensors.centre) / on_tensors.reach
        y = q + population.features(q)[BACKWARD] @ heads[index]
        warped = resample(image, on_tensors.to_template(y)[None])[0, 0]
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
    """Scale a template to grey values, uint16, 0 to 1023; clip a thousandth of the voxels."""
    low, high = np.percentile(template, [0.05, 99.95])
    scaled = (template - low) / max(float(high - low), 1e-12) * TEMPLATE_MAX
    return np.rint(scaled.clip(0, TEMPLATE_MAX)).astype(np.uint16)


def _assemble(
    template: np.ndarray, affine: np.ndarray | None, reach: np.ndarray, population: Population
) -> ShapeModel:
    """Assemble the integer shape model, with heads and modes for each Ω.

    Args:
        template: uint16, 0 to 1023.
        affine: (4, 4) voxel-to-world matrix of the template in mm, or None.
        reach: (ndim,) 1/256 template voxels in a unit of field coordinates.
        population: fitted fields.
    """
    trunk, frame = population.trunk, population.frame.frame
    nodes, heads = population.nodes, population.heads
    starts, modes, scales = [], [], []
    with torch.no_grad():
        learnt = population.features(nodes)
        for omega in OMEGAS:
            features = trunk.features(nodes[None], float(omega))
            own = heads if omega == OMEGAS[0] else _projected(learnt, heads, features)
            start = own.mean(1)
            mode, scale = find_modes(features[BACKWARD], own[BACKWARD], population.average, frame)
            starts.append(integers(_array(start), HEAD_BITS))
            modes.append(mode)
            scales.append(scale)
    return ShapeModel(
        template=template,
        affine=affine,
        reach=reach,
        omegas=OMEGAS,
        threshold=0.0,
        weight1=integers(_array(trunk.weight1), WEIGHT_BITS),
        bias1=integers(_array(trunk.bias1), WEIGHT_BITS),
        weight2=integers(_array(trunk.weight2), WEIGHT_BITS),
        bias2=integers(_array(trunk.bias2), WEIGHT_BITS),
        heads=np.stack(starts),
        modes=np.stack(modes),
        scale_index=np.stack(scales),
    )


def _projected(learnt: Tensor, heads: Tensor, features: Tensor) -> Tensor:
    """Return heads on other features with the nearest displacements (ridge regression).

    Args:
        learnt: (2, N, W+1), features that the heads were fitted on.
        heads: (2, B, W+1, ndim), fitted heads.
        features: (2, N, W+1), features of another Ω.
    """
    fields, batch, rows, ndim = heads.shape
    gram = features.mT @ features
    ridge = 1e-3 * gram.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
    gram = gram + ridge * torch.eye(rows, device=gram.device)
    side = heads.movedim(1, 2).reshape(fields, rows, batch * ndim)
    solved = torch.linalg.solve(gram, features.mT @ (learnt @ side))
    return solved.reshape(fields, rows, batch, ndim).movedim(2, 1)


def _calibrated(model: ShapeModel, frame: Frame, batches: Iterable[np.ndarray]) -> ShapeModel:
    """Return the model with loss threshold and symbol scales from training scans.

    Args:
        model: model without a threshold.
        frame: frame of the canvases.
        batches: (B, 2, *canvas) normalised training scans.
    """
    losses: list[np.ndarray] = []
    moves: list[np.ndarray] = []
    for canvases in batches:
        fit = HeadFit(model, frame, canvases, 0)
        losses.append(fit.run(TRIAL_STEPS))
        fit.run(STEPS)
        moves.append(fit.moves * fit.usual)
    spread = np.sqrt((np.concatenate(moves) ** 2).mean(0))
    scales = model.scale_index.copy()
    scales[0] = scale_indices(spread)
    threshold = float(np.quantile(np.concatenate(losses), 0.75))
    return replace(model, threshold=threshold, scale_index=scales)


def _array(values: Tensor) -> np.ndarray:
    return values.detach().cpu().numpy()
