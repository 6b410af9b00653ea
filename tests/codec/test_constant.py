"""Scans of one value: a few bytes at once, exact, and without a network."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

import deepstd
from deepstd import api
from deepstd.codec import constant
from deepstd.container import FrameChunks, parse, write_container
from deepstd.errors import DamagedError, InputError, RateError
from deepstd.rate.target import Target
from deepstd.volume import Volume


def encoded(voxels: np.ndarray, **rate: float) -> bytes:
    result = constant.encode(Volume(voxels), Target(**(rate or {"ratio": 2.0})))  # pyright: ignore[reportArgumentType]
    assert result is not None
    return result.data


@pytest.mark.parametrize("value", [-1024, 0, 32767])
def test_64_mib_of_one_value_take_less_than_a_hundred_bytes(value: int) -> None:
    voxels = np.full((512, 512, 128), value, np.int16)
    data = encoded(voxels)
    assert len(data) < 100
    restored = constant.decode(parse(data, "scan.dstd"))
    assert restored.voxels.dtype == np.int16
    np.testing.assert_array_equal(restored.voxels, voxels)


@pytest.mark.parametrize("shape", [(7, 5), (1, 1, 1), (12, 9, 7), (6, 5, 4, 3)])
@pytest.mark.parametrize("dtype", ["?", "u1", ">i2", "u8", "f2", "f4", ">f8"])
def test_constants_of_any_type_come_back(shape: tuple[int, ...], dtype: str) -> None:
    voxels = np.ones(shape, dtype)
    restored = constant.decode(parse(encoded(voxels, max_bytes=500), "scan.dstd")).voxels
    assert restored.dtype == voxels.dtype
    np.testing.assert_array_equal(restored, voxels)


def test_what_is_not_finite_comes_back_beside_one_value() -> None:
    voxels = np.full((20, 20, 10), 3.5, np.float32)
    voxels[:9], voxels[9, :4], voxels[10, 5] = math.nan, math.inf, -math.inf
    container = parse(encoded(voxels), "scan.dstd")
    np.testing.assert_array_equal(constant.decode(container).voxels, voxels)
    assert container.head.quality is not None
    assert container.head.quality.psnr == math.inf
    nothing = parse(encoded(np.full((4, 4), math.nan), max_bytes=500), "scan.dstd")
    assert nothing.head.quality is not None
    assert math.isnan(nothing.head.quality.psnr)


def test_frames_of_other_values_are_constant_too() -> None:
    voxels = np.zeros((16, 16, 8, 5), np.int16)
    voxels[..., 2] = 7
    data = encoded(voxels)
    np.testing.assert_array_equal(constant.decode(parse(data, "scan.dstd")).voxels, voxels)


def test_other_scans_are_not_taken() -> None:
    for place in ((0, 0, 0), (7, 7, 7), (3, 0, 5)):
        voxels = np.zeros((8, 8, 8), np.int16)
        voxels[place] = 1
        assert constant.encode(Volume(voxels), Target(ratio=2.0)) is None


def test_a_size_that_is_too_small_is_refused_with_one_that_is_not() -> None:
    with pytest.raises(RateError, match=r"30 bytes were asked for .* Ask for at least \d+ bytes"):
        encoded(np.zeros((8, 8)), max_bytes=30)


def test_previews_of_constants() -> None:
    container = parse(encoded(np.full((20, 9, 6), 4, np.uint8), max_bytes=500), "scan.dstd")
    assert constant.decode(container, 1).shape == (10, 5, 3)
    assert constant.decode(container, 5).shape == (1, 1, 1)
    assert (constant.decode(container, 2).voxels == 4).all()
    with pytest.raises(InputError, match="level 6 does not exist: expected 0 to 5"):
        constant.decode(container, 6)


def test_a_file_whose_frame_says_nothing_is_damaged() -> None:
    container = parse(encoded(np.zeros((6, 6, 6), np.int16), max_bytes=500), "scan.dstd")
    for frames, symbols, message in (
        ([FrameChunks(b"")], constant.NO_SYMBOLS, "no texture"),
        ([FrameChunks(b"", specials=b"")], constant.NO_SYMBOLS, "repeats"),
        (container.frames, b"abcd", "not what was encoded"),
    ):
        data = write_container(container.head, b"", frames, symbols)
        with pytest.raises(DamagedError, match=rf"scan\.dstd.*{message}"):
            constant.decode(parse(data, "scan.dstd"))


def test_no_torch_is_needed() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; import numpy as np;"
        "from deepstd.codec import constant;"
        "from deepstd.volume import Volume; from deepstd.rate.target import Target;"
        "from deepstd.container import parse;"
        "voxels = np.full((64, 64, 9), -1024, np.int16);"
        "data = constant.encode(Volume(voxels), Target(ratio=64)).data;"
        "sys.exit(not (constant.decode(parse(data, 'x')).voxels == voxels).all())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("only_tiny")
def test_constant_files_go_through_every_command(tmp_path: Path, tiny_bundle: Path) -> None:
    scan, packed, back = (tmp_path / name for name in ("a.nii.gz", "a.dstd", "b.nii.gz"))
    nibabel.save(nibabel.Nifti1Image(np.full((40, 30, 20), -1024, np.int16), np.eye(4) * 2), scan)
    report = deepstd.compress(scan, packed, ratio=64)
    assert report.bundle == "none 0"
    assert report.max_error == 0
    assert report.file_bytes < 200
    api.decompress(packed, back)
    assert (nibabel.load(back).get_fdata() == -1024).all()  # pyright: ignore[reportAttributeAccessIssue]
    api.decompress(packed, tmp_path / "p.nii.gz", level=1)
    assert nibabel.load(tmp_path / "p.nii.gz").shape == (20, 15, 10)  # pyright: ignore[reportAttributeAccessIssue]
    assert api.verify(packed, against=scan).as_stated
    codec = deepstd.Codec.load(str(tiny_bundle), device="cpu")
    data = codec.compress(Volume(np.zeros((30, 30, 30), np.int16)), ratio=64)
    assert not codec.decompress(data).voxels.any()
