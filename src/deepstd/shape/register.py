"""Cycle-consistent registration of scans to a template (paper, Methods, Eqs. 5 to 8).

    scan, base map ─ align ─▶ canvas: the template's frame at half its resolution or less
    canvases, template ─ Adam on sampled points ─▶ heads of Φ_F and Φ_B ─ quantise ─▶ FieldCode

    loss = −NCC(scan∘Φ_F, template) − NCC(template∘Φ_B, scan)
           + α mean(det + 1/det − 2), both fields + β mean‖Φ_B∘Φ_F − 1‖² + ‖Φ_F∘Φ_B − 1‖², voxels

The hidden layers come from the bundle, so a scan has only the heads to fit, and the backward head
only along the bundle's modes. Where the loss stays above what is usual, Ω is lowered and the fit
begins again with smoother fields (paper, "Gradual degradation strategy").
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from deepstd.coding.tables import scale_of_index
from deepstd.geometry import COORDINATE_BITS, BaseMap, base_map, resample
from deepstd.shape.model import HEAD_BITS, TEMPLATE_MAX, FieldCode, ShapeModel
from deepstd.shape.similarity import correlation
from deepstd.shape.siren import (
    BACKWARD,
    FORWARD,
    Trunk,
    determinants,
    displacements,
    own_displacements,
)

JACOBIAN_WEIGHT = 0.05
CYCLE_WEIGHT = 0.01
POINTS = 1000
STEPS = 200
TRIAL_STEPS = 100
_RECENT = 10
_SIMILARITY_PER_REGULARITY = 4
_HEAD_RATE = 5e-3
_MOVE_RATE = 0.1
_LONGEST_CANVAS = 128
_PRIOR_WEIGHT = 3e-5


@dataclass(frozen=True, eq=False)
class Frame:
    """Field coordinates q, template voxels t and canvas voxels c.

    t = centre + reach·q;  c = (t − (factor − 1)/2) / factor.
    """

    template_shape: tuple[int, ...]
    reach: Tensor
    factor: int

    @property
    def canvas_shape(self) -> tuple[int, ...]:
        """Shape of a canvas."""
        return tuple(-(-n // self.factor) for n in self.template_shape)

    @property
    def centre(self) -> Tensor:
        """(ndim,) centre of the template in its voxels."""
        return self.reach.new_tensor([(n - 1) / 2 for n in self.template_shape])

    def to(self, device: torch.device | str) -> Frame:
        """The same frame on another device."""
        return Frame(self.template_shape, self.reach.to(device), self.factor)

    def to_template(self, q: Tensor) -> Tensor:
        """Template voxel coordinates."""
        return self.centre + self.reach * q

    def to_canvas(self, q: Tensor) -> Tensor:
        """Canvas voxel coordinates."""
        return (self.to_template(q) - (self.factor - 1) / 2) / self.factor

    def nodes(self) -> Tensor:
        """(N, ndim) field coordinates of the canvas voxels."""
        axes = [torch.arange(n, device=self.reach.device) for n in self.canvas_shape]
        t = torch.cartesian_prod(*axes) * self.factor + (self.factor - 1) / 2
        return (t - self.centre) / self.reach


def canvas_frame(template_shape: tuple[int, ...], reach: np.ndarray) -> Frame:
    """The frame to register in: half the template's resolution, at most 128 voxels long."""
    factor = 2
    while max(template_shape) > _LONGEST_CANVAS * factor:
        factor *= 2
    pixels = torch.from_numpy(reach.astype(np.float32)) / (1 << COORDINATE_BITS)
    return Frame(tuple(template_shape), pixels, factor)


def align(volume: np.ndarray, placement: BaseMap, frame: Frame, at: Tensor) -> Tensor:
    """Grey values and validity of a scan at points of the template's frame.

    The scan is averaged over boxes as large as the frame's voxels before it is sampled.

    Args:
        volume: float32; what is not finite is not part of the scan.
        placement: the scan's base map.
        frame: decides how much detail is kept, by its factor.
        at: (N, ndim) field coordinates.

    Returns:
        (2, N): values, with 0 where there are none, and a mask of 0 and 1.
    """
    values = torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))
    mask = torch.isfinite(values)
    both = torch.stack([torch.where(mask, values, torch.zeros_like(values)), mask.float()])[None]
    matrix, offset = placement.as_float()
    lengths = np.linalg.norm(matrix, axis=0)
    wanted = np.rint(frame.factor / lengths).astype(int).tolist()
    box = [max(1, min(n, w)) for w, n in zip(wanted, volume.shape, strict=True)]
    if max(box) > 1:
        pool = F.avg_pool2d if volume.ndim == 2 else F.avg_pool3d
        both = pool(both, box, ceil_mode=True, count_include_pad=False)
    t = frame.to_template(at).double().cpu().numpy()
    index = np.linalg.solve(matrix, (t - offset).T).T
    index = (index - (np.array(box) - 1) / 2) / np.array(box)
    sampled = resample(both, torch.from_numpy(index.astype(np.float32))[None], "zeros")[0]
    covered = sampled[1] > 0.5
    return torch.stack([sampled[0] / sampled[1].clamp_min(0.5) * covered, covered.float()])


def pair_loss(
    trunk: Trunk,
    omega: float,
    heads: Tensor,
    canvases: Tensor,
    template: Tensor,
    frame: Frame,
    chosen: Tensor,
    nodes: Tensor,
) -> Tensor:
    """Registration loss of each scan on some canvas voxels.

    Args:
        trunk: hidden layers.
        omega: Ω.
        heads: (2, B, W+1, ndim).
        canvases: (B, 2, *canvas), values and masks.
        template: (1, 1, *canvas).
        frame: of the canvases.
        chosen: (N,) canvas voxels, by flat index.
        nodes: field coordinates of all canvas voxels.

    Returns:
        (B,).
    """
    x = nodes[chosen]
    y = x + displacements(trunk.features(x[None], omega), heads)
    batch, count = y.shape[1:3]
    at = frame.to_canvas(y)
    scan = resample(canvases, at[FORWARD])
    scan_here = canvases.flatten(2)[:, :, chosen]
    warped = resample(template, at[BACKWARD].reshape(1, batch * count, -1)).reshape(batch, count)
    here = template.flatten()[chosen][None]
    similarity = correlation(scan[:, 0], here, scan[:, 1].detach())
    similarity = similarity + correlation(warped, scan_here[:, 0], scan_here[:, 1])
    part = slice(0, max(1, count // _SIMILARITY_PER_REGULARITY))
    det = determinants(trunk.slopes(x[None, part], omega), heads).clamp(0.1, 10)
    jacobian = (det + 1 / det - 2).mean(-1).sum(0)
    start = y[:, :, part].flip(0)
    missed = start + own_displacements(trunk, start, heads, omega) - x[part]
    cycle = ((missed * frame.reach / frame.factor) ** 2).sum(-1).mean(-1).sum(0)
    return -similarity + JACOBIAN_WEIGHT * jacobian + CYCLE_WEIGHT * cycle


class HeadFit:
    """Heads of a batch of scans being fitted to a model, at one of its Ω.

    The forward head is free; the backward head moves along the model's modes, each in units of
    its usual size, and pays for moving as its symbols would.
    """

    def __init__(
        self, model: ShapeModel, frame: Frame, canvases: Tensor, omega_index: int, seed: int = 0
    ) -> None:
        self.model, self.frame, self.canvases = model, frame, canvases
        self.omega_index = omega_index
        self.omega = float(model.omegas[omega_index])
        device = canvases.device
        self.trunk, self.nodes = model.trunk().to(device), frame.nodes()
        self.template = template_canvas(model, frame).to(device)
        self.starts = _real(model.heads[omega_index], device) / (1 << HEAD_BITS)
        self.modes = _real(model.modes[omega_index], device) / (1 << HEAD_BITS)
        self.usual = _real(usual_sizes(model.scale_index[omega_index]), device)
        batch = len(canvases)
        self.forward_head = self.starts.new_zeros(batch, *self.starts.shape[1:]).requires_grad_()
        self.moves = self.starts.new_zeros(batch, len(self.usual)).requires_grad_()
        self.optimiser = torch.optim.Adam(
            [
                {"params": [self.forward_head], "lr": _HEAD_RATE},
                {"params": [self.moves], "lr": _MOVE_RATE},
            ],
            betas=(0.9, 0.99),
        )
        self.rates = [_HEAD_RATE, _MOVE_RATE]
        self.generator = torch.Generator().manual_seed(seed)
        self.step = 0

    def heads(self, symbols: Tensor) -> Tensor:
        """(2, B, W+1, ndim) for (B, K) symbols, whole or not."""
        forward = self.starts[FORWARD] + self.forward_head
        backward = self.starts[BACKWARD] + (symbols @ self.modes).reshape(forward.shape)
        return torch.stack([forward, backward])

    def run(self, until: int) -> Tensor:
        """Fit up to a step; (B,) mean loss of the last steps, without the price of symbols."""
        recent = []
        while self.step < until:
            for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
                group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * self.step / STEPS))
            loss = self.loss(self.heads(self.moves * self.usual), POINTS)
            price = _PRIOR_WEIGHT * (self.moves**2).sum(-1)
            self.optimiser.zero_grad()
            (loss + price).sum().backward()
            self.optimiser.step()
            self.step += 1
            recent = [*recent[1 - _RECENT :], loss.detach()]
        return torch.stack(recent).mean(0)

    def loss(self, heads: Tensor, points: int) -> Tensor:
        """(B,) registration loss at fresh random canvas voxels."""
        chosen = torch.randint(len(self.nodes), (points,), generator=self.generator)
        chosen = chosen.to(self.nodes.device)
        images = self.canvases, self.template
        return pair_loss(self.trunk, self.omega, heads, *images, self.frame, chosen, self.nodes)

    def symbols(self) -> Tensor:
        """(B, K) whole symbols nearest to the fit."""
        return torch.round(self.moves.detach() * self.usual)


def _real(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(device)


def usual_sizes(scale_index: np.ndarray) -> np.ndarray:
    """Standard deviation of the symbols coded with a scale index (logistic)."""
    return np.array([scale_of_index(int(i)) for i in scale_index]) * (math.pi / math.sqrt(3))


def template_canvas(model: ShapeModel, frame: Frame) -> Tensor:
    """(1, 1, *canvas): the template, 0 to 1, averaged down to the canvas."""
    image = torch.from_numpy(model.template.astype(np.float32))[None, None] / TEMPLATE_MAX
    pool = F.avg_pool2d if model.ndim == 2 else F.avg_pool3d
    return pool(image, frame.factor, ceil_mode=True, count_include_pad=False)


def canvas_of(
    volume: np.ndarray, affine: np.ndarray | None, model: ShapeModel, frame: Frame
) -> Tensor:
    """(1, 2, *canvas): values and mask of a scan on the model's canvas."""
    placement = base_map(volume.shape, affine, model.template.shape, model.affine)
    return align(volume, placement, frame, frame.nodes()).reshape(1, 2, *frame.canvas_shape)


@dataclass(frozen=True)
class ShapeReport:
    """How a registration went.

    Attributes:
        ncc_before: correlation of scan and template by the base map alone.
        ncc_after: the same with the field as it is stored.
        cycle_error_voxels: mean distance of Φ_B(Φ_F(x)) from x, in template voxels.
        folding_percent: share of the template's frame where det ∂Φ_B ≤ 0.
        omega: Ω of the field.
        seconds: time taken.
    """

    ncc_before: float
    ncc_after: float
    cycle_error_voxels: float
    folding_percent: float
    omega: int
    seconds: float


def register(
    volume: np.ndarray, affine: np.ndarray | None, model: ShapeModel
) -> tuple[FieldCode, ShapeReport]:
    """Fit a scan's field to a model.

    Args:
        volume: float32 of 2 or 3 axes, any scale; what is not finite is not part of the scan.
        affine: (4, 4) voxel-to-world matrix, or None.
        model: the bundle's.

    Raises:
        GeometryError: the scan cannot be laid on the template.
    """
    began = time.monotonic()
    frame = canvas_frame(model.template.shape, model.reach)
    canvas = normalised(canvas_of(volume, affine, model, frame))
    best, best_loss = None, math.inf
    for index in range(len(model.omegas)):
        fit = HeadFit(model, frame, canvas, index)
        loss = float(fit.run(TRIAL_STEPS))
        if best is None or loss < best_loss:
            best, best_loss = fit, loss
        if loss <= model.threshold:
            break
    best.run(STEPS)
    symbols = best.symbols()
    code = FieldCode(best.omega_index, symbols[0].numpy().astype(np.int32))
    measured = measure(best, symbols)
    return code, ShapeReport(
        **{name: float(value[0]) for name, value in measured.items()},
        omega=model.omegas[best.omega_index],
        seconds=time.monotonic() - began,
    )


def normalised(canvases: Tensor) -> Tensor:
    """(B, 2, *canvas) with each scan's values at mean 0 and variance 1 within its mask."""
    values, mask = canvases[:, :1], canvases[:, 1:]
    axes = list(range(1, canvases.ndim))
    count = mask.sum(axes, keepdim=True).clamp_min(1)
    centred = (values - (values * mask).sum(axes, keepdim=True) / count) * mask
    spread = ((centred**2).sum(axes, keepdim=True) / count).sqrt().clamp_min(1e-12)
    return torch.cat([centred / spread, mask], 1)


def measure(fit: HeadFit, symbols: Tensor) -> dict[str, Tensor]:
    """What a ShapeReport says about each scan of a fit, on all canvas voxels."""
    with torch.no_grad():
        heads, x = fit.heads(symbols), fit.nodes
        y = x + displacements(fit.trunk.features(x[None], fit.omega), heads)
        batch = len(symbols)
        template = fit.template.expand(batch, *fit.template.shape[1:])
        warped = resample(template, fit.frame.to_canvas(y[BACKWARD]))[:, 0]
        values, mask = fit.canvases.flatten(2).unbind(1)
        start = y.flip(0)
        missed = start + own_displacements(fit.trunk, start, heads, fit.omega) - x
        folded = determinants(fit.trunk.slopes(x[None], fit.omega), heads)[BACKWARD] <= 0
        return {
            "ncc_before": correlation(template.flatten(1), values, mask),
            "ncc_after": correlation(warped, values, mask),
            "cycle_error_voxels": (missed[BACKWARD] * fit.frame.reach).norm(dim=-1).mean(-1),
            "folding_percent": 100 * folded.float().mean(-1),
        }
