"""Fit of the heads of a bundle's fields to scans.

canvas voxels ─ shuffled ─▶ pool, trunk evaluated once ─ a stretch for each step ─▶ Sample
  ─ loss, derivative ─▶ Adam ─▶ forward head, moves along the modes
"""

from __future__ import annotations

import math

import numpy as np

from deepstd.coding.tables import scale_of_index
from deepstd.shape.adam import Adam
from deepstd.shape.alignment import Frame, template_canvas
from deepstd.shape.loss import Images, Sample, pair_loss, regularity_points
from deepstd.shape.model import HEAD_BITS, ShapeModel
from deepstd.shape.siren import BACKWARD, FORWARD, Layers

POINTS = 1000  # canvas voxels in a step
STEPS = 200  # steps of Adam in a whole fit
TRIAL_STEPS = 100  # steps after which the loss decides whether Ω is lowered
_RECENT = 10  # last steps whose loss is averaged
_HEAD_RATE = 5e-3
_MOVE_RATE = 0.1
_PRIOR_WEIGHT = 3e-5  # loss of a move by a standard deviation: stands for the bits of symbols
_POOL = 1 << 13  # canvas voxels that all steps draw from
_AT_ONCE = 1 << 10  # points evaluated at once, in the cache


class HeadFit:
    """Fit of the heads of a batch of scans to a model, at one of its Ω.

    The forward head is free. The backward head moves along the model's modes, in units of each
    mode's standard deviation. A quadratic prior stands for the bits of its symbols.

    Args:
        model: shape model of the bundle.
        frame: frame of the canvases.
        canvases: (B, 2, *canvas), normalised grey values and masks.
        omega_index: index into the model's ``omegas``.

    Attributes:
        images: scans and template, ready to be sampled.
        forward_head: (B, ndim, W+1), fitted change of the forward head.
        moves: (B, K), fitted moves along the modes in standard deviations.
        usual: (K,), standard deviation of each symbol.
    """

    def __init__(
        self, model: ShapeModel, frame: Frame, canvases: np.ndarray, omega_index: int
    ) -> None:
        self.frame, self.canvases, self.nodes = frame, canvases, frame.nodes()
        self.omega = model.omegas[omega_index]
        self.layers = model.trunk().at(self.omega)
        self.template = template_canvas(model, frame)
        self.images = Images(canvases, self.template, frame)
        self._random = np.random.default_rng(0)
        order = self._random.permutation(len(self.nodes))[:_POOL]
        self._pool = _Pool(self.layers, self.nodes, canvases, self.template, order)
        rows, ndim = model.heads.shape[2:]
        one = np.float32(1 << HEAD_BITS)
        self._starts = np.ascontiguousarray(model.heads[omega_index].swapaxes(-1, -2) / one)
        modes = model.modes[omega_index].reshape(-1, rows, ndim).swapaxes(-1, -2) / one
        self._modes = modes.reshape(len(modes), ndim * rows)
        self.usual = usual_sizes(model.scale_index[omega_index]).astype(np.float32)
        self.forward_head = np.zeros((len(canvases), ndim, rows), np.float32)
        self.moves = np.zeros((len(canvases), len(self.usual)), np.float32)
        self._optimiser = Adam([self.forward_head, self.moves])
        self._step = 0

    def heads(self, symbols: np.ndarray) -> np.ndarray:
        """Return the heads, (2, B, ndim, W+1), for (B, K) symbols, rounded or not."""
        heads = np.empty((2, *self.forward_head.shape), np.float32)
        np.add(self._starts[FORWARD], self.forward_head, out=heads[FORWARD])
        moved = np.einsum("bk,kp->bp", symbols, self._modes)  # too small for the threads of BLAS
        np.add(self._starts[BACKWARD], moved.reshape(heads[BACKWARD].shape), out=heads[BACKWARD])
        return heads

    def run(self, until: int) -> np.ndarray:
        """Fit until a number of steps; return the mean loss of the last ten, (B,).

        The loss leaves out the prior.
        """
        recent = []
        while self._step < until:
            falling = 0.5 * (1 + math.cos(math.pi * self._step / STEPS))
            heads = self.heads(self.moves * self.usual)
            sample = self._pool.sample(self._random)
            loss, by_heads = pair_loss(self.layers, heads, self.images, sample)
            by_backward = by_heads[BACKWARD].reshape(len(self.moves), -1)
            by_moves = np.einsum("bp,kp->bk", by_backward, self._modes)
            by_moves *= self.usual
            by_moves += 2 * _PRIOR_WEIGHT * self.moves
            rates = falling * _HEAD_RATE, falling * _MOVE_RATE
            self._optimiser.step((by_heads[FORWARD], by_moves), rates)
            self._step += 1
            recent = [*recent[1 - _RECENT :], loss]
        return np.mean(recent, 0)

    def symbols(self) -> np.ndarray:
        """Return the fit rounded to whole symbols, float32 (B, K)."""
        return np.rint(self.moves * self.usual)


class _Pool:
    """Canvas voxels in random order, the trunk evaluated at them.

    A step uses a stretch of the pool. Nothing is copied, and a stretch is a random sample.
    """

    def __init__(
        self,
        layers: Layers,
        nodes: np.ndarray,
        canvases: np.ndarray,
        template: np.ndarray,
        order: np.ndarray,
    ) -> None:
        self._starts, self._count = len(order), min(POINTS, len(order))
        # A stretch that begins near the end goes on at the beginning.
        order = np.concatenate([order, order[: self._count - 1]])
        x = nodes[order]
        self._x = np.ascontiguousarray(x.T)
        self._features, self._slopes = evaluated(layers, x)
        self._template = template.reshape(1, -1)[:, order]
        flat = canvases.reshape(*canvases.shape[:2], -1)[..., order]
        self._scans, self._masks = np.ascontiguousarray(flat.swapaxes(0, 1))

    def sample(self, random: np.random.Generator) -> Sample:
        """Draw the points of a step."""
        first = int(random.integers(self._starts))
        points = slice(first, first + self._count)
        few = slice(first, first + regularity_points(self._count))
        return Sample(
            self._x[:, points],
            self._features[:, points],
            self._slopes[:, :, few],
            self._template[:, points],
            self._scans[:, points],
            self._masks[:, points],
        )


def evaluated(layers: Layers, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return features, (2, N, W+1), and slopes, (ndim, 2, N, W), at (N, ndim) points."""
    width, ndim = layers.weight2.shape[-1], x.shape[-1]
    features = np.empty((2, len(x), width + 1), np.float32)
    slopes = np.empty((ndim, 2, len(x), width), np.float32)
    for start in range(0, len(x), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        found = layers.features_and_slopes(x[None, part])
        features[:, part], slopes[:, :, part] = found
    return features, slopes


def usual_sizes(scale_index: np.ndarray) -> np.ndarray:
    """Return the standard deviation of symbols with each scale index (logistic distribution)."""
    return np.array([scale_of_index(int(i)) for i in scale_index]) * (math.pi / math.sqrt(3))
