"""A notebook shows three slices of a volume, the way up that its affine tells."""

from __future__ import annotations

import base64
import io
import itertools
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from nibabel.orientations import apply_orientation, inv_ornt_aff
from PIL import Image

from deepstd.volume import Volume


def pictures(volume: Volume) -> dict[str, np.ndarray]:
    """Pictures in the HTML of a volume, by the first word of their captions."""
    found = re.findall(
        r'<img src="data:image/png;base64,([^"]*)" alt="([^"]*)" width="(\d+)" height="(\d+)"',
        volume._repr_html_(),
    )
    shown = {}
    for data, caption, width, height in found:
        image = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
        assert image.size == (int(width), int(height))
        shown[caption.split(",")[0]] = np.asarray(image)
    return shown


def corner() -> np.ndarray:
    """A scan in RAS order, bright where it is right, anterior and superior."""
    voxels = np.zeros((25, 35, 15), np.int16)
    voxels[12:, 17:, 7:] = 100
    return voxels


def test_slices_are_in_the_radiological_convention() -> None:
    shown = pictures(Volume(corner(), np.diag([2.0, 2.0, 4.0, 1.0])))
    assert set(shown) == {"axial", "coronal", "sagittal"}
    for picture in shown.values():
        rows, columns = picture.shape
        # Right or anterior on the left; anterior or superior up.
        assert picture[: rows // 3, : columns // 3].mean() == 255
        assert picture[2 * rows // 3 :].mean() == 0
        assert picture[:, 2 * columns // 3 :].mean() == 0


def test_pictures_have_the_proportions_of_the_scan() -> None:
    shown = pictures(Volume(corner(), np.diag([2.0, 2.0, 4.0, 1.0])))  # 50 x 70 x 60 mm
    assert shown["axial"].shape == (240, round(240 * 50 / 70))
    assert shown["coronal"].shape == (round(240 * 60 / 70), round(240 * 50 / 70))
    assert shown["sagittal"].shape == (round(240 * 60 / 70), 240)


ORIENTATIONS = [
    np.column_stack([order, signs])
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=lambda o: str(o.tolist()))
def test_the_order_of_the_axes_does_not_matter(orientation: np.ndarray) -> None:
    voxels = corner()  # of odd lengths, so that the middle is the same from both ends
    affine = np.diag([2.0, 2.5, 4.0, 1.0])
    turned = apply_orientation(voxels, orientation)
    turned_affine = affine @ inv_ornt_aff(orientation, voxels.shape)
    expected = pictures(Volume(voxels, affine))
    shown = pictures(Volume(turned, turned_affine))
    assert set(shown) == set(expected)
    for plane, picture in expected.items():
        np.testing.assert_array_equal(shown[plane], picture)


def test_captions_name_axis_and_index_of_the_array() -> None:
    affine = np.array([[0, -2.0, 0, 5], [3.0, 0, 0, 6], [0, 0, 1.5, 7], [0, 0, 0, 1]])
    html = Volume(np.zeros((8, 6, 20)), affine)._repr_html_()
    for caption in ("axial, axis 2 at 10", "coronal, axis 0 at 4", "sagittal, axis 1 at 3"):
        assert f"<small>{caption}</small>" in html
    assert "radiological" in html


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_the_slice_shown_is_that_of_the_caption(direction: float) -> None:
    voxels = np.zeros((8, 6, 4), np.int16)
    voxels[4] = 1
    volume = Volume(voxels, np.diag([direction, 1, 1, 1]))
    assert "sagittal, axis 0 at 4" in volume._repr_html_()
    assert pictures(volume)["sagittal"].min() == 255


@pytest.mark.parametrize("affine", [None, np.diag([1.0, 0, 1, 1])])
def test_without_directions_slices_follow_the_array(affine: np.ndarray | None) -> None:
    volume = Volume(corner(), affine)
    shown = pictures(volume)
    assert set(shown) == {"axis 2 at 7", "axis 1 at 17", "axis 0 at 12"}
    picture = shown["axis 2 at 7"]
    assert picture.shape == (round(240 * 25 / 35), 240)
    assert picture[-50:, -50:].mean() == 255
    assert picture[:50].mean() == 0
    assert "radiological" not in volume._repr_html_()


@pytest.mark.parametrize("affine", [None, np.eye(4)])
@pytest.mark.parametrize(
    ("shape", "count"),
    [((9, 7), 1), ((1, 1), 1), ((9, 1, 7), 1), ((1, 1, 9), 1), ((5, 6, 7), 3), ((5, 6, 7, 3), 3)],
)
def test_any_shape(shape: tuple[int, ...], count: int, affine: np.ndarray | None) -> None:
    voxels = np.random.default_rng(0).normal(size=shape)
    assert len(pictures(Volume(voxels, affine))) == count


def test_the_middle_frame_is_shown() -> None:
    voxels = np.zeros((8, 8, 8, 5), np.float32)
    voxels[2:6, 2:6, 2:6, 2] = 1
    shown = pictures(Volume(voxels))
    assert len(shown) == 3
    assert all(picture.max() == 255 for picture in shown.values())
    assert "frame 2" in Volume(voxels)._repr_html_()


def test_a_few_extreme_voxels_do_not_darken_the_rest() -> None:
    voxels = np.tile(np.linspace(0, 100, 40, dtype=np.float32), (40, 1))
    voxels[0, 0] = 1e9
    picture = pictures(Volume(voxels))["image"]
    assert int(picture[120, 120]) == pytest.approx(127, abs=6)


@pytest.mark.parametrize("dtype", ["?", ">i2", "u8", "f2", "f8"])
def test_any_type(dtype: str) -> None:
    voxels = np.tile(np.arange(20) >= 10, (20, 1)).astype(dtype)
    picture = pictures(Volume(voxels))["image"]
    assert picture[0, 0] == 0
    assert picture[0, -1] == 255


def test_values_that_are_not_finite_are_black_or_white() -> None:
    voxels = np.full((40, 40), 5.0)
    voxels[:, 20:] = 10
    voxels[:4, :4], voxels[-4:, -4:], voxels[:4, -4:] = np.nan, np.inf, -np.inf
    picture = pictures(Volume(voxels))["image"]
    assert picture[0, 0] == 0
    assert picture[-1, -1] == 255
    assert picture[0, -1] == 0
    assert pictures(Volume(np.full((4, 4), np.nan)))["image"].max() == 0
    largest = np.finfo(np.float64).max
    extreme = pictures(Volume(np.array([[-largest, largest]] * 2)))["image"]
    assert (extreme.min(), extreme.max()) == (0, 255)


def test_text_from_files_is_escaped() -> None:
    volume = Volume(np.zeros((4, 4)), notes=("<script>alert('x')</script> & more",))
    html = volume._repr_html_()
    seen: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            seen.append(tag)

    Tags().feed(html)
    assert "img" in seen
    assert "script" not in seen
    assert "&lt;script&gt;" in html
    assert "&amp; more" in html
