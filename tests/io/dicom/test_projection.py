"""Frames without a place: written elsewhere with the axes and spacing that SimpleITK reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepstd import io
from deepstd.io import dicom
from deepstd.io.metadata import Metadata

sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK: pip install 'deepstd[itk]'")

PIXELS = np.arange(6 * 4, dtype="u2").reshape(6, 4) * 100  # rows, columns
IMAGES = "1.2.840.10008.5.1.4.1.1."
CLASSES = {
    "DX": f"{IMAGES}1.1", "MG": f"{IMAGES}1.2", "CR": f"{IMAGES}1", "IO": f"{IMAGES}1.3",
    "XA": f"{IMAGES}12.1", "RF": f"{IMAGES}12.2", "NM": f"{IMAGES}20", "OT": f"{IMAGES}7",
    "US": f"{IMAGES}6.1",
}  # fmt: skip
SUFFIXES = [".nii", ".nrrd", ".mha"]


def save(make_slice: Callable[..., Any], path: Path, frames: int = 1, **told: Any) -> Path:
    dataset = make_slice(PIXELS, None, **told)
    if frames > 1:
        dataset.NumberOfFrames = frames
        dataset.PixelData = b"".join((PIXELS + n).tobytes() for n in range(frames))
    dataset.save_as(path, enforce_file_format=True)
    return path


def assert_as_simpleitk(source: Path, folder: Path, spacing: tuple[float, ...] = ()) -> None:
    expected = sitk.ReadImage(str(source))
    volume = io.read(source)
    for suffix in SUFFIXES:
        io.write(volume, folder / f"b{suffix}", overwrite=True)
        found = sitk.ReadImage(str(folder / f"b{suffix}"))
        np.testing.assert_array_equal(
            np.squeeze(sitk.GetArrayFromImage(found)), np.squeeze(sitk.GetArrayFromImage(expected))
        )
        axes = found.GetDimension()
        np.testing.assert_allclose(
            found.GetSpacing(), spacing or expected.GetSpacing()[:axes], rtol=1e-6
        )
        directions = np.array(expected.GetDirection()).reshape(3, 3)[:axes, :axes]
        np.testing.assert_allclose(found.GetDirection(), directions.ravel(), atol=1e-12)
        np.testing.assert_allclose(found.GetOrigin(), (0,) * axes, atol=1e-12)


@pytest.mark.parametrize("modality", CLASSES)
@pytest.mark.parametrize(
    "told",
    [
        {"ImagerPixelSpacing": [0.3, 0.25], "PixelSpacing": [0.3, 0.25]},
        {"ImagerPixelSpacing": [0.3, 0.25], "PixelSpacing": [0.2, 0.15]},
        {"PixelSpacing": [0.2, 0.15]},
        {"ImagerPixelSpacing": [0.3, 0.25]},
        {"NominalScannedPixelSpacing": [0.5, 0.4]},
        {},
    ],
)
def test_images(
    tmp_path: Path, make_slice: Callable[..., Any], modality: str, told: dict[str, Any]
) -> None:
    path = save(
        make_slice, tmp_path / "a.dcm", SOPClassUID=CLASSES[modality], Modality=modality, **told
    )
    expected = sitk.ReadImage(str(path)).GetSpacing()
    # SimpleITK has 1 mm for what it does not look at; a stated spacing is better than that.
    stated = told.get("PixelSpacing") or told.get("NominalScannedPixelSpacing")
    spacing = (stated[1], stated[0]) if stated and expected[:2] == (1.0, 1.0) else ()
    assert_as_simpleitk(path, tmp_path, spacing)
    differ = len({str(v) for k, v in told.items() if k.endswith("PixelSpacing")}) > 1
    projection = modality not in ("NM", "OT", "US")
    notes = io.read(path).notes
    assert any("at the detector" in note for note in notes) == (differ and projection)


@pytest.mark.parametrize("modality", ["NM", "XA", "DX", "US"])
@pytest.mark.parametrize("between", [None, 4.0, -4.0])
def test_frames(
    tmp_path: Path, make_slice: Callable[..., Any], modality: str, between: float | None
) -> None:
    told: dict[str, Any] = {"ImagerPixelSpacing": [0.3, 0.25], "PixelSpacing": [0.3, 0.25]}
    if between is not None:
        told["SpacingBetweenSlices"] = between
    path = save(
        make_slice, tmp_path / "a.dcm", 3, SOPClassUID=CLASSES[modality], Modality=modality, **told
    )
    assert_as_simpleitk(path, tmp_path)


def test_pictures_of_projections(tmp_path: Path, make_slice: Callable[..., Any]) -> None:
    from PIL import Image

    path = save(
        make_slice, tmp_path / "a.dcm", SOPClassUID=CLASSES["DX"], ImagerPixelSpacing=[0.2, 0.1]
    )
    io.write(io.read(path), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.array(image), PIXELS)
        assert image.info["dpi"] == pytest.approx((254, 127), abs=0.02)


def test_a_preview_has_larger_pixels(tmp_path: Path, make_slice: Callable[..., Any]) -> None:
    told = {"PixelSpacing": [0.2, 0.1], "SpacingBetweenSlices": -4.0}
    path = save(make_slice, tmp_path / "a.dcm", 3, SOPClassUID=CLASSES["NM"], **told)
    volume = io.read(path)
    preview = io.subsampled(volume.source, (3, 2, 3), (2, 2, 1))
    assert dicom.facts_of(preview.raw).spacing_without_place == (0.4, 0.2, -4.0)


def test_spacing_stands_where_gdcm_reads_it(tmp_path: Path, make_slice: Callable[..., Any]) -> None:
    """Restored without its data set, an X-ray keeps its spacing."""
    for modality in ("DX", "OT"):
        path = save(
            make_slice, tmp_path / "a.dcm", SOPClassUID=CLASSES[modality], Modality=modality,
            ImagerPixelSpacing=[0.2, 0.1], PixelSpacing=[0.2, 0.1],
        )  # fmt: skip
        io.write(io.read(path, metadata=Metadata.NONE), tmp_path / f"{modality}.dcm")
        spacing = sitk.ReadImage(str(tmp_path / f"{modality}.dcm")).GetSpacing()
        assert spacing[:2] == pytest.approx((0.1, 0.2))
