"""Series of a tilted gantry: told, straightened by the true places of their slices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepstd import io
from deepstd.io import dicom
from deepstd.io.shear import SHEARED, is_sheared
from deepstd.volume import Volume

HEIGHTS = np.array([0.0, 3.0, 6.0, 12.0, 15.0, 18.5])
LEAN = np.array([0.0, -1.25, -2.0, -5.0, -6.75, -8.0])  # of the slices in y, unevenly


@pytest.fixture
def tilted(save_series: Callable[..., Path]) -> Volume:
    """A series whose values are 30 x − 20 y of their place, LPS mm."""
    places = [(5.0, float(y), float(z)) for y, z in zip(LEAN, HEIGHTS, strict=True)]
    columns, rows = np.meshgrid(np.arange(12), np.arange(10), indexing="ij")
    planes = [30 * (5 + 0.25 * columns) - 20 * (y + 0.5 * rows) for _, y, _ in places]
    voxels = np.rint(np.stack(planes, -1)).astype(np.int16)
    return io.read(save_series(voxels, places))


def test_it_is_told(tilted: Volume) -> None:
    assert is_sheared(tilted.affine, 3)
    assert tilted.notes[-1] == SHEARED
    assert any("tilted" in note for note in tilted.notes)


def test_notes_name_nobody(
    save_series: Callable[..., Path], ramp: np.ndarray, secrets: tuple[str, ...]
) -> None:
    places = [(0.0, -0.3 * k, float(k + (k > 2) + 0.3 * (k > 3))) for k in range(5)]
    attributes = {"PhotometricInterpretation": "MONOCHROME1", "RescaleType": secrets[0]}
    folder = save_series(ramp, places, **attributes)
    named = folder.rename(folder.with_name(secrets[0]))
    for number, path in enumerate(sorted(named.iterdir())):
        path.rename(path.with_name(f"{secrets[1]}-{number}"))
    notes = io.read(named, metadata=io.Metadata.ALL).notes
    assert len(notes) >= 4
    assert not [secret for secret in secrets for note in notes if secret in note]
    assert not [note for note in notes if str(named.parent) in note]


def test_slices_are_shifted_by_their_own_places(tilted: Volume) -> None:
    facts = dicom.facts_of(tilted.source.raw)
    assert facts.positions is not None
    straight = io.straightened(tilted)
    assert straight.affine is not None
    assert dicom.facts_of(straight.source.raw).slope == facts.slope
    assert io.error_scale_of(straight.source).unit == "HU"
    assert f"with {tilted.voxels.min() - 1024} HU around them" in straight.notes[-1]
    assert SHEARED not in straight.notes
    places = np.einsum("ij,j...->i...", straight.affine[:3, :3], np.indices(straight.shape))
    places += straight.affine[:3, 3, None, None, None]
    expected = 30 * -places[0] - 20 * -places[1]  # RAS to LPS
    inside = straight.voxels > tilted.voxels.min()
    assert inside.sum() > 0.8 * tilted.voxels.size
    np.testing.assert_allclose(straight.voxels[inside], expected[inside], atol=1.01)


def test_restored_as_dicom_it_is_a_plain_series(tilted: Volume, tmp_path: Path) -> None:
    straight = io.straightened(tilted)
    io.write(straight, tmp_path / "out/")
    back = io.read(tmp_path / "out")
    np.testing.assert_array_equal(back.voxels, straight.voxels)
    assert back.affine is not None
    assert straight.affine is not None
    np.testing.assert_allclose(back.affine, straight.affine, atol=1e-4)


def test_a_real_head(data_dir: Path) -> None:
    tilted = io.read(data_dir / "dicom" / "ct-head-gantry-tilt")
    assert any("18.5 degrees" in note for note in tilted.notes)
    straight = io.straightened(tilted)
    assert straight.shape[0] == 512
    assert straight.shape[1] > 512
    assert not is_sheared(straight.affine, 3)
    middle = tilted.shape[2] // 2
    # The mean of a slice changes by what lies around it alone.
    lowest = int(tilted.voxels.min())
    before = (tilted.voxels[..., middle].astype(int) - lowest).sum()
    after = (straight.voxels[..., middle].astype(int) - lowest).sum()
    assert after == pytest.approx(before, rel=1e-3)
