"""The methods of each study, with their settings.

study ─▶ methods, in the order of the tables
"""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.registration.convex_adam import ConvexAdam
from benchmarks.registration.elastix import Affine, BSpline
from benchmarks.registration.idir import Idir
from benchmarks.registration.learned import CANVASES, KINDS, Kind, Learned
from benchmarks.registration.method import Method, Unregistered
from benchmarks.registration.ours import Ours, ablations
from benchmarks.registration.syn import Syn
from benchmarks.registration.template import BundleField, PairField, Shape
from benchmarks.registration.unet import UNet

_AFFINE = Affine()
_CONVEX = {
    "hippocampus": ConvexAdam(_AFFINE),
    "cardiac": ConvexAdam(_AFFINE, block=(4, 4, 1), reach=(3, 3, 1), fine=(2, 2, 1)),
}
_SPLINE = {"hippocampus": BSpline(spacing=8.0), "cardiac": BSpline(spacing=16.0)}


def pair_methods(study: str, work: Path | None) -> list[Method]:
    """Peers, DeepSTD, and DeepSTD without its parts.

    Args:
        study: its name.
        work: folder of trained weights; learned peers without weights there are left out.
    """
    methods: list[Method] = [Unregistered(), _AFFINE, _SPLINE[study], Syn(_AFFINE), _CONVEX[study]]
    for kind in KINDS:
        path = weights_path(work, study, kind) if work else None
        if path is not None and path.is_file():
            network = UNet(CANVASES[study].factors)
            network.load_state_dict(torch.load(path, weights_only=True))
            methods.append(Learned(kind, CANVASES[study], network.eval(), _AFFINE))
    return [*methods, Idir(_AFFINE), Ours(), *ablations()]


def template_methods(shape: Shape) -> list[Method]:
    """Ways to lay a bundle's template on a scan."""
    pairs = [PairField(steps, start) for steps in (20, 60) for start in (None, shape)]
    fields = [BundleField(shape), BundleField(shape, rounded=False)]
    return [Unregistered(), _AFFINE, Syn(_AFFINE), *fields, *pairs]


def weights_path(work: Path, study: str, kind: Kind) -> Path:
    """Where the weights of a learned peer lie."""
    return work / f"{study}-{kind}.pt"
