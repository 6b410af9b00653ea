"""Previews: a half, a quarter … of the resolution from the first bytes of a file."""

from __future__ import annotations

import io as streams
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

import deepstd
from deepstd import api
from deepstd.cli.app import main
from deepstd.coding.bytes import encode_varint
from deepstd.container import parse, read_beginning
from deepstd.errors import DamagedError, InputError, TruncatedError
from deepstd.texture.wavelet.lifting import coarseness, decompose, split_plan
from tests.helpers.chunks import without_filter

Phantom = Callable[..., np.ndarray]


def low_subband(voxels: np.ndarray, spacing: tuple[float, ...] | None, level: int) -> np.ndarray:
    """The low subband of a scan on the scale of its grey values."""
    plan = split_plan(voxels.shape, coarseness(spacing, voxels.ndim))[:level]
    lows, _ = decompose(voxels.astype(float)[None, None], plan)
    return lows[-1][0, 0] / 2 ** (sum(map(len, plan)) / 2)


def beginning_of(data: bytes, name: str = "scan.dstd") -> deepstd.container.Beginning:
    return read_beginning(streams.BytesIO(data), name)


@pytest.mark.parametrize(
    ("shape", "spacing", "factors"),
    [
        ((21, 16, 13), None, [(2, 2, 2), (4, 4, 4)]),
        ((24, 23, 9), (1.0, 1.0, 4.0), [(2, 2, 1), (4, 4, 1), (8, 8, 2)]),
        ((37, 50), None, [(2, 2), (4, 4)]),
        ((1, 30, 21), (5.0, 1.0, 1.0), [(1, 2, 2), (1, 4, 4)]),
        ((14, 17, 8, 3), (1.0, 1.0, 1.0), [(2, 2, 2)]),
    ],
)
def test_geometry_scale_and_values(
    tiny_bundle: Path,
    phantom: Phantom,
    shape: tuple[int, ...],
    spacing: tuple[float, ...] | None,
    factors: list[tuple[int, ...]],
) -> None:
    codec = deepstd.Codec.load(str(tiny_bundle))
    affine = None if spacing is None else np.eye(4)[[1, 0, 2, 3]] @ np.diag([*spacing, 1.0])
    if affine is not None:
        affine[:3, 3] = (-7, 5, 11)
    data = codec.compress(deepstd.Volume(phantom(shape), affine), bpv=3)
    container = parse(data, "f")
    # A preview has not gone through the filter of the whole.
    whole = codec.decompress(without_filter(container, codec))
    for level, expected in enumerate(factors, 1):
        preview = codec.preview(beginning_of(data), level)
        assert preview.voxels.dtype == whole.voxels.dtype
        parts = [(..., n) for n in range(shape[3])] if len(shape) == 4 else [...]
        for part in parts:
            full = whole.voxels[part]
            real = [axis for axis, n in enumerate(full.shape) if n > 1]
            sizes = None if spacing is None else tuple(spacing[axis] for axis in real)
            low = low_subband(full.reshape([full.shape[a] for a in real]), sizes, level)
            found = preview.voxels[part].reshape(low.shape)
            # Apart from the rounding of both to whole grey values.
            assert np.abs(found - low).max() <= 1.2
        if affine is not None:
            scale = np.diag([*expected, *[1] * (4 - len(expected))])
            np.testing.assert_allclose(np.array(preview.affine), affine @ scale)


def test_a_preview_needs_only_the_first_bytes(tiny_bundle: Path, phantom: Phantom) -> None:
    codec = deepstd.Codec.load(str(tiny_bundle))
    data = codec.compress(deepstd.Volume(phantom((140, 20, 16, 2), "u1")), bpv=1)
    whole = codec.preview(beginning_of(data), 1)
    stream = streams.BytesIO(data)
    tiles = [
        len(tile) for frame in deepstd.container.parse(data, "x").frames for tile in frame.tiles
    ]
    assert len(tiles) == 4
    read = read_beginning(stream, "x")
    assert read.nbytes < len(data) - sum(tiles)
    assert stream.tell() < len(data) - sum(tiles[2:])
    cut = data[: stream.tell()]
    np.testing.assert_array_equal(codec.preview(beginning_of(cut), 1).voxels, whole.voxels)
    # What is missing is never made up, and what is damaged never shown.
    with pytest.raises(TruncatedError, match=r"scan\.dstd"):
        beginning_of(cut[:-1])
    with pytest.raises(TruncatedError, match=r"scan\.dstd"):
        codec.decompress(cut, name="scan.dstd")
    flipped = bytearray(cut)
    flipped[-20] ^= 1
    with pytest.raises(DamagedError, match=r"scan\.dstd"):
        beginning_of(bytes(flipped))


@pytest.mark.parametrize("length", [2**62, 2**63, 2**64 - 1])
def test_the_length_of_a_tile_is_not_believed(
    tiny_bundle: Path, phantom: Phantom, length: int
) -> None:
    codec = deepstd.Codec.load(str(tiny_bundle))
    data = codec.compress(deepstd.Volume(phantom((140, 20, 16, 2), "u1")), bpv=1)
    sections = deepstd.container.parse(data, "x").sections
    tile = next(s for s in sections if s.name == "TILE")
    kind = data[tile.offset : tile.offset + 1]
    lying = data[: tile.offset] + kind + encode_varint(length) + data[tile.offset + 3 :]
    for stream in (streams.BytesIO(lying), OnlyForward(lying)):
        with pytest.raises(TruncatedError, match=r"scan\.dstd"):
            read_beginning(stream, "scan.dstd")


def test_a_tile_out_of_place_is_not_passed_over(tiny_bundle: Path, phantom: Phantom) -> None:
    codec = deepstd.Codec.load(str(tiny_bundle))
    data = codec.compress(deepstd.Volume(phantom((140, 20, 16), "u1")), bpv=1)
    sections = deepstd.container.parse(data, "x").sections
    tile = next(s for s in sections if s.name == "TILE")
    head = next(s for s in sections if s.name == "HEAD")
    moved = data[tile.offset : tile.offset + tile.nbytes]
    with pytest.raises(DamagedError, match="TILE chunk cannot follow"):
        beginning_of(data[: head.offset] + moved + data[head.offset :])


class OnlyForward(streams.BytesIO):
    """A stream as of a pipe."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise OSError("a pipe")


def test_a_pipe_will_do(tiny_bundle: Path, phantom: Phantom) -> None:
    codec = deepstd.Codec.load(str(tiny_bundle))
    data = codec.compress(deepstd.Volume(phantom((140, 20, 16, 2), "u1")), bpv=1)
    expected = codec.preview(beginning_of(data), 2)
    found = codec.preview(read_beginning(OnlyForward(data), "x"), 2)
    np.testing.assert_array_equal(found.voxels, expected.voxels)


def test_levels_that_do_not_exist(tiny_bundle: Path, phantom: Phantom) -> None:
    codec = deepstd.Codec.load(str(tiny_bundle))
    data = codec.compress(deepstd.Volume(phantom((9, 5, 4))), max_bytes=400)
    assert codec.preview(beginning_of(data), 4).shape == (1, 1, 1)
    with pytest.raises(InputError, match=r"scan\.dstd: level 5 .* 0 to 4"):
        codec.preview(beginning_of(data), 5)


def test_special_values_keep_their_places(tiny_bundle: Path, phantom: Phantom) -> None:
    voxels = phantom((20, 18, 16), "f4")
    voxels[:8, :, 2:6] = np.nan
    codec = deepstd.Codec.load(str(tiny_bundle))
    preview = codec.preview(beginning_of(codec.compress(deepstd.Volume(voxels), bpv=2)), 1)
    np.testing.assert_array_equal(np.isnan(preview.voxels), np.isnan(voxels[::2, ::2, ::2]))


@pytest.mark.usefixtures("only_tiny")
class TestFiles:
    """The command, and the headers that it writes."""

    def test_nifti_keeps_all_of_its_header_but_the_grid(
        self, tmp_path: Path, phantom: Phantom
    ) -> None:
        affine = np.array([[0, -0.9, 0.1, 11], [0.8, 0, 0, -7], [0, 0.1, 2.5, 3], [0, 0, 0, 1]])
        image = nibabel.Nifti1Image(phantom((22, 26, 14)), affine)
        image.header.set_slope_inter(2.0, -10.0)
        image.header["descrip"] = b"kept"
        nibabel.save(image, tmp_path / "scan.nii.gz")
        api.compress(tmp_path / "scan.nii.gz", tmp_path / "scan.dstd", bpv=3)
        out = tmp_path / "small.nii.gz"
        assert (
            main(["decompress", str(tmp_path / "scan.dstd"), "-o", str(out), "--level", "2"]) == 0
        )
        small = nibabel.Nifti1Image.from_filename(out)
        assert small.shape == (6, 7, 7)
        np.testing.assert_allclose(
            np.array(small.affine), affine @ np.diag([4, 4, 2, 1]), atol=1e-5
        )
        np.testing.assert_allclose(small.header.get_zooms(), (3.2, 3.622, 5.004), atol=1e-3)
        assert small.header["descrip"] == b"kept"
        before = nibabel.Nifti1Image.from_filename(tmp_path / "scan.nii.gz").get_fdata()
        near = np.abs(small.get_fdata() - before[::4, ::4, ::2])
        assert np.median(near) < 25
        deepstd.read(out)

    def test_a_level_that_is_no_number(self, tmp_path: Path) -> None:
        assert main(["decompress", "a.dstd", "-o", "b.npy", "--level", "-1"]) == 2

    @pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
    def test_itk(self, tmp_path: Path, phantom: Phantom, suffix: str) -> None:
        pytest.importorskip("SimpleITK")
        affine = np.diag([1.5, 1.5, 2.0, 1.0])
        affine[:3, 3] = (-20, 30, 5)
        deepstd.write(deepstd.Volume(phantom((16, 18, 12)), affine), tmp_path / f"scan{suffix}")
        api.compress(tmp_path / f"scan{suffix}", tmp_path / "scan.dstd", bpv=3)
        preview = api.decompress(tmp_path / "scan.dstd", tmp_path / f"small{suffix}", level=1)
        back = deepstd.read(tmp_path / f"small{suffix}")
        assert back.shape == (8, 9, 6)
        np.testing.assert_allclose(np.array(back.affine), affine @ np.diag([2, 2, 2, 1]))
        np.testing.assert_array_equal(back.voxels, preview.voxels)

    def test_a_dicom_series(self, data_dir: Path, tmp_path: Path) -> None:
        pytest.importorskip("pydicom")
        series = data_dir / "dicom" / "series-generic-anatomical-002-non-isotropic"
        if not series.is_dir():
            pytest.skip(f"needs {series}")
        before = deepstd.read(series)
        api.compress(series, tmp_path / "scan.dstd", max_bytes=6000, model="tiny")
        api.decompress(tmp_path / "scan.dstd", tmp_path / "small", level=1)
        after = deepstd.read(tmp_path / "small")
        halved = [a != b for a, b in zip(after.shape, before.shape, strict=True)]
        assert any(halved)
        halves = [-(-n // 2) if h else n for n, h in zip(before.shape, halved, strict=True)]
        assert list(after.shape) == halves
        assert before.affine is not None
        scaled = before.affine @ np.diag([*(2 if h else 1 for h in halved), 1])
        np.testing.assert_allclose(np.array(after.affine), scaled, atol=1e-3)


REAL = (
    ("hippocampus-t1", "hippocampus-t1/images/hippocampus_037.nii.gz", 8.0),
    ("generic", "samples/spinal-cord-t2.nii.gz", 8.0),
    ("chest-xray", "chest-xray/images/00000499_008.png", 16.0),
)


@pytest.mark.slow
@pytest.mark.parametrize(("bundle", "name", "ratio"), REAL)
def test_real_scans(data_dir: Path, bundle: str, name: str, ratio: float) -> None:
    if not (data_dir / name).is_file():
        pytest.skip(f"needs {name} in {data_dir}")
    codec, volume = deepstd.Codec.load(bundle, device="cpu"), deepstd.read(data_dir / name)
    # As a volume: slices between each other have previews of their own kind (test_slices).
    data = codec.compress(volume, ratio=ratio, effort="fast")
    whole = codec.decompress(data).voxels
    for level in (1, 2):
        preview = codec.preview(beginning_of(data), level).voxels
        low = low_subband(whole, volume.spacing, level)
        assert preview.shape == low.shape
        # The post-filter changes the whole a little, the preview not at all.
        spread = np.ptp(whole.astype(float))
        assert np.abs(preview - low).mean() < 0.01 * spread
        assert np.corrcoef(preview.ravel(), low.ravel())[0, 1] > 0.99
