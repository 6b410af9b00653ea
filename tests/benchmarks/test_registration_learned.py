"""The learned peers: what they see, what becomes of their answer, that they learn."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import ndimage

from benchmarks.registration.learned import KINDS, Canvas, Kind, Learned, train
from benchmarks.registration.method import Unregistered
from benchmarks.registration.pairs import Scan
from benchmarks.registration.unet import UNet
from benchmarks.registration.warp import centred, grid

CANVAS = Canvas((16, 16, 8), (2, 2, 1), (3, 3, 3))


def blob(centre: tuple[float, float, float]) -> Scan:
    distance = np.sqrt(((grid((20, 18, 9)) - centre) ** 2).sum(-1))
    voxels = (1 / (1 + np.exp(distance - 4))).astype(np.float32)
    return Scan("blob", voxels, (voxels > 0.5).astype(np.uint8), np.eye(4))


def test_a_canvas_is_the_middle_of_the_scan_averaged() -> None:
    scan = blob((10, 9, 4))
    image = CANVAS.image(scan, np.eye(4), scan.shape)
    part = scan.voxels[2:18, 1:17, 0:8].reshape(8, 2, 8, 2, 8).mean((1, 3))
    assert np.allclose(image[0, 0].numpy(), part, atol=1e-6)


def test_a_displacement_comes_back_in_voxels_and_in_place() -> None:
    ramp = torch.arange(8.0).reshape(1, 8, 1, 1).expand(3, 8, 8, 8)
    found = CANVAS.spread(ramp, (20, 18, 9))
    assert found.shape == (20, 18, 9, 3)
    # Averaged voxel 3 has its centre between voxels 2 + 6 and 2 + 7 of the scan.
    assert np.allclose(found[8:10, 9, 4].mean(0), (2 * 3, 2 * 3, 3))


def test_an_untrained_network_leaves_the_affine_stage_alone() -> None:
    scan, other = blob((10, 9, 4)), blob((11, 9, 4))
    torch.manual_seed(0)
    network = UNet(CANVAS.factors)
    torch.nn.init.zeros_(network.flow.weight)
    with torch.no_grad():
        network.flow.bias.zero_()  # pyright: ignore[reportOptionalMemberAccess]
    for kind in KINDS:
        warp = Learned(kind, CANVAS, network, Unregistered()).register(scan, other)
        assert np.allclose(warp.coordinates, grid(other.shape) + centred(scan, other)[:3, 3])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_training_draws_scans_together(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    # A second a step, however fast the machine is.
    clock = SimpleNamespace(process_time=count().__next__)
    monkeypatch.setattr("benchmarks.registration.learned.time", clock)
    images = [CANVAS.image(blob((x, 9, 4)), np.eye(4), (20, 18, 9)) for x in (8, 10, 12)]
    network = train(kind, torch.cat(images), CANVAS, minutes=4)
    scan, other = blob((9, 9, 4)), blob((11, 9, 4))
    warp = Learned(kind, CANVAS, network.eval(), Unregistered()).register(scan, other)
    seen = ndimage.map_coordinates(scan.voxels, np.moveaxis(warp.coordinates, -1, 0), order=1)
    before = np.abs(scan.voxels - other.voxels).mean()
    assert np.abs(seen - other.voxels).mean() < 0.8 * before
