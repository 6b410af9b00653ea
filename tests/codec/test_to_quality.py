"""Files of a requested quality: they keep it, and little smaller ones do not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

import deepstd
from deepstd.codec.encoder import Encoding
from deepstd.codec.exact import same_bits
from deepstd.errors import RateError
from deepstd.quality import measure

Phantom = Callable[..., np.ndarray]
BETTER = {"min_psnr": "psnr", "min_ssim": "ssim", "mae": "mae"}


def keeps(report: Any, goal: dict[str, Any]) -> bool:
    """Whether what a report states keeps a goal."""
    ((option, value),) = goal.items()
    reached = getattr(report, BETTER[option])
    return bool(reached <= value if option == "mae" else reached >= value)


@pytest.mark.parametrize("goal", [{"min_psnr": 33.0}, {"min_ssim": 0.96}, {"mae": 5.0}])
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((70, 60), "u1"), ((24, 22, 20), "i2"), ((20, 18, 10, 3), "u2"), ((22, 20, 18), "f4"),
        ((64, 1, 60), "f8"), ((16, 18, 20), ">i4"),
    ],
)  # fmt: skip
def test_the_goal_is_kept_and_hardly_more(
    only_tiny: Path,
    phantom: Phantom,
    tmp_path: Path,
    shape: tuple[int, ...],
    dtype: str,
    goal: dict[str, Any],
) -> None:
    scan, output = phantom(shape, dtype), tmp_path / "scan.dstd"
    report = deepstd.compress(scan, output, effort="fast", **goal)
    assert keeps(report, goal)
    assert report.asked is not None
    assert report.asked.kept
    assert (report.asked.value,) == tuple(goal.values())
    told = deepstd.info(output)
    assert told.asked == report.asked
    assert deepstd.verify(output, against=scan).as_stated
    smaller = round(0.9 * report.file_bytes)  # the quality of files so small jumps
    with suppress(RateError):  # no file is that small
        other = deepstd.compress(scan, output, max_bytes=smaller, effort="fast", overwrite=True)
        assert not keeps(other, goal)


@pytest.mark.parametrize("goal", [{"min_psnr": 30.0}, {"min_ssim": 0.8}, {"mae": 5.0}])
def test_scans_with_nan_and_padding(
    only_tiny: Path, phantom: Phantom, tmp_path: Path, goal: dict[str, Any]
) -> None:
    scan = phantom((24, 22, 18), "f4")
    scan[:, :, :3] = np.nan
    scan[2, 3, 4:9] = np.inf
    report = deepstd.compress(scan, tmp_path / "scan.dstd", effort="fast", **goal)
    assert keeps(report, goal)
    restored = deepstd.decompress(tmp_path / "scan.dstd").voxels
    np.testing.assert_array_equal(np.isnan(restored), np.isnan(scan))


def test_constant_scans_are_exact(only_tiny: Path, tmp_path: Path) -> None:
    for value in (7.0, np.nan):
        scan = np.full((9, 8, 7), value, "f4")
        report = deepstd.compress(scan, tmp_path / "scan.dstd", min_psnr=90, overwrite=True)
        assert report.bundle == "none 0"
        restored = deepstd.decompress(tmp_path / "scan.dstd").voxels
        np.testing.assert_array_equal(restored, scan)


def test_errors_are_those_of_real_world_values(
    only_tiny: Path, phantom: Phantom, tmp_path: Path
) -> None:
    image = nibabel.Nifti1Image(phantom((20, 18, 16)), np.eye(4))
    nibabel.save(image, tmp_path / "scan.nii")
    raw = bytearray((tmp_path / "scan.nii").read_bytes())
    raw[112:120] = np.array([0.25, 3], "<f4").tobytes()  # slope and intercept
    (tmp_path / "scan.nii").write_bytes(raw)
    report = deepstd.compress(tmp_path / "scan.nii", tmp_path / "scan.dstd", mae=0.8, effort="fast")
    assert report.slope == 0.25
    assert 0.7 < report.mae <= 0.8


def test_normal_effort_takes_few_encodings(
    only_tiny: Path, phantom: Phantom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode_once = Encoding._encode_once

    def counted(job: Encoding, code: int, *rest: Any) -> Any:
        encoded.append(code)
        return encode_once(job, code, *rest)

    monkeypatch.setattr(Encoding, "_encode_once", counted)
    report = deepstd.compress(phantom((40, 36, 30)), tmp_path / "scan.dstd", min_psnr=33)
    assert 33 <= report.psnr < 33.15
    assert len(encoded) <= 12


def test_a_lossless_file_that_is_smaller_is_taken(
    only_tiny: Path, phantom: Phantom, tmp_path: Path
) -> None:
    scan = phantom((20, 18, 16), "u1") // 64 * 64
    scan[4, 5, 6] = 9  # no map of labels to the eye of the encoder
    scan = scan.astype("f4")
    report = deepstd.compress(scan, tmp_path / "scan.dstd", min_psnr=60, effort="fast")
    assert report.lossless
    assert any("a lossless file is smaller than one that just keeps" in n for n in report.notes)
    assert report.asked is not None
    assert report.asked.kept


def test_what_no_quantisation_keeps_is_stored_without_loss(
    only_tiny: Path, phantom: Phantom, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).normal(0, 1, (12, 11, 10))
    report = deepstd.compress(noise, tmp_path / "scan.dstd", min_psnr=400, effort="fast")
    assert report.lossless
    assert any("a lossless file alone keeps" in note for note in report.notes)
    report = deepstd.compress(
        phantom((12, 11, 10)), tmp_path / "scan.dstd", min_ssim=1, effort="fast", overwrite=True
    )
    assert report.ssim == 1


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        ({"min_psnr": 60.0}, r"has a PSNR in dB of \d+\.\d+, and a PSNR of at least 60 dB was"),
        ({"min_ssim": 0.999}, "an SSIM of at least 0.999 was asked for"),
        ({"mae": 0.5}, "a mean absolute error of at most 0.5 was asked for"),
        ({"max_error": 1}, r"an error of at most 1 for every voxel .* Ask for at least \d+ bytes"),
    ],
)
def test_a_size_that_misses_the_quality_is_refused(
    only_tiny: Path, phantom: Phantom, tmp_path: Path, goal: dict[str, Any], words: str
) -> None:
    scan, output = phantom((24, 22, 20)), tmp_path / "scan.dstd"
    with pytest.raises(RateError, match=f"the array: at .*:1.*{words}"):
        deepstd.compress(scan, output, ratio=40, effort="fast", **goal)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("goal", [{"min_psnr": 25.0}, {"min_ssim": 0.5}, {"max_error": "40%"}])
def test_a_size_that_keeps_the_quality_is_filled(
    only_tiny: Path, phantom: Phantom, tmp_path: Path, goal: dict[str, Any]
) -> None:
    report = deepstd.compress(
        phantom((24, 22, 20)), tmp_path / "scan.dstd", ratio=20, effort="fast", **goal
    )
    assert report.ratio >= 20
    assert report.asked is not None
    assert report.asked.kept
    assert report.notes == ()


def test_a_bound_that_fits_the_size_is_guaranteed(
    only_tiny: Path, phantom: Phantom, tmp_path: Path
) -> None:
    report = deepstd.compress(
        phantom((24, 22, 20)), tmp_path / "scan.dstd", ratio=3, max_error=5, effort="fast"
    )
    assert report.bundle == "none 0"
    assert report.max_error <= 5
    assert report.ratio >= 3


@pytest.mark.parametrize(
    "options",
    [
        {"lossless": True, "min_psnr": 40}, {"min_psnr": 40, "min_ssim": 0.9},
        {"mae": 3, "max_error": 8}, {"ratio": 4, "bpv": 1, "min_psnr": 40}, {},
        {"min_psnr": float("nan")}, {"min_ssim": 1.5}, {"mae": -1},
    ],
)  # fmt: skip
def test_what_excludes_each_other(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(RateError):
        deepstd.compress(tmp_path / "not-there", tmp_path / "scan.dstd", **options)


def test_a_codec_takes_a_quality_or_a_size(only_tiny: Path, phantom: Phantom) -> None:
    codec, goal = deepstd.Codec.load("tiny"), deepstd.QualityGoal("psnr", 31.0)
    volume = deepstd.Volume(phantom((24, 22, 20)))
    found = codec.encode(volume, deepstd.Target(goal=goal), effort="fast")
    assert 31 <= found.quality.psnr < 31.3
    with pytest.raises(RateError, match="a size or a quality"):
        codec.encode(volume, deepstd.Target(ratio=9, goal=goal))


@pytest.mark.parametrize("seed", range(30))
def test_random_volumes_keep_random_goals(only_tiny: Path, tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kind = np.dtype(["u1", "<i2", ">u2", "<i4", "<i8", "<f2", ">f4", "<f8", "?", ">i8"][seed % 10])
    shape = tuple(rng.integers(1, (40, 36, 14, 4))[: 2 + seed % 3])
    voxels = np.cumsum(rng.normal(0, 9, shape), 0) + 60
    voxels = voxels > 60 if kind.kind == "b" else np.clip(voxels, 0, 120).astype(kind)
    if kind.kind == "f" and seed % 4 == 0:
        voxels.reshape(-1)[::5] = np.nan
    option = ("min_psnr", "min_ssim", "mae")[seed % 3]
    value = float((rng.uniform(5, 80), rng.uniform(0.3, 0.999), 10 ** rng.uniform(-2, 1))[seed % 3])
    output = tmp_path / "scan.dstd"
    goal: dict[str, Any] = {option: value}
    report = deepstd.compress(voxels, output, effort="fast", with_residual=True, **goal)
    found = measure(voxels, deepstd.decompress(output, lossy=True).voxels)
    assert not found.max_error > 0 or keeps(found, goal)
    assert report.max_error == pytest.approx(found.max_error, nan_ok=True)
    assert same_bits(deepstd.decompress(output).voxels, voxels)


@pytest.mark.parametrize(
    ("place", "goal"),
    [
        ("hippocampus-t1/images/hippocampus_026.nii.gz", {"min_psnr": 40.0}),
        ("hippocampus-t1/images/hippocampus_026.nii.gz", {"min_ssim": 0.95}),
        ("headneck-ct/images/pt_103.nii.gz", {"mae": 8.0}),
    ],
)
def test_a_real_scan_needs_no_fewer_bytes(
    data_dir: Path, tmp_path: Path, place: str, goal: dict[str, Any]
) -> None:
    scan, output = data_dir / place, tmp_path / "scan.dstd"
    report = deepstd.compress(scan, output, model="generic", effort="fast", **goal)
    assert keeps(report, goal)
    other = deepstd.compress(
        scan, output, max_bytes=round(0.97 * report.file_bytes), model="generic", effort="fast",
        overwrite=True,
    )  # fmt: skip
    assert not keeps(other, goal)
