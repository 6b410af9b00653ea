"""The shipped bundles on real scans: sizes kept, and the same symbols whatever computes them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import deepstd
from deepstd.errors import RateError
from deepstd.rate.target import Target
from deepstd.threads import limited_to

SCANS = (
    ("hippocampus-t1", "hippocampus-t1/images/hippocampus_037.nii.gz"),
    ("chest-xray", "chest-xray/images/00000499_008.png"),
    ("generic", "samples/spinal-cord-t2.nii.gz"),
)
BPV = 0.25


@pytest.fixture(params=SCANS, ids=[bundle for bundle, _ in SCANS])
def bundle_and_scan(request: pytest.FixtureRequest, data_dir: Path) -> tuple[str, Path]:
    bundle, name = request.param
    if not (data_dir / name).is_file():
        pytest.skip(f"needs {name} in {data_dir}")
    return bundle, data_dir / name


@pytest.mark.slow
@pytest.mark.parametrize(("writing", "reading"), [(2, 1), (1, 2)])
def test_a_file_means_the_same_with_any_threads(
    bundle_and_scan: tuple[str, Path], writing: int, reading: int
) -> None:
    bundle, path = bundle_and_scan
    codec, volume = deepstd.Codec.load(bundle, device="cpu"), deepstd.read(path)
    with limited_to(writing):
        data = codec.compress(volume, bpv=BPV)
    allowed = int(volume.voxels.size * BPV / 8)
    assert 0.997 * allowed <= len(data) <= allowed
    expected = codec.decompress(data).voxels
    # A wrong symbol anywhere would be refused: the file holds the hash of them all.
    with limited_to(reading):
        found = codec.decompress(data).voxels
    spread = np.ptp(volume.voxels.astype(np.float64))
    assert np.abs(expected.astype(np.float64) - found).max() <= max(1.0, 1e-4 * spread)


def test_a_file_tells_how_registration_went(data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "hippocampus-t1/images/hippocampus_037.nii.gz"
    if not path.is_file():
        pytest.skip(f"needs {path.name} in {data_dir}")
    written = deepstd.compress(
        path, tmp_path / "a.dstd", max_bytes=1500, model="hippocampus-t1", effort="fast"
    )
    (report,) = written.registration
    assert report is not None
    told = deepstd.info(tmp_path / "a.dstd").to_dict()["registration"]
    assert told["bytes"] < 250
    assert told["ncc_after"] == pytest.approx(report.ncc_after, abs=0.004)
    assert told["ncc_after"] > told["ncc_before"] > 0
    assert told["cycle_error_voxels"] == pytest.approx(report.cycle_error_voxels, abs=0.04)
    assert told["folding_percent"] >= report.folding_percent
    # So few bytes are for the scan.
    deepstd.compress(
        path, tmp_path / "b.dstd", max_bytes=600, model="hippocampus-t1", effort="fast"
    )
    assert set(deepstd.info(tmp_path / "b.dstd").to_dict()["registration"]) == {"bytes"}


def test_a_file_too_small_for_a_field_goes_without(data_dir: Path) -> None:
    path = data_dir / "hippocampus-t1/images/hippocampus_087.nii.gz"
    if not path.is_file():
        pytest.skip(f"needs {path.name} in {data_dir}")
    codec, volume = deepstd.Codec.load("hippocampus-t1", device="cpu"), deepstd.read(path)
    with pytest.raises(RateError, match=r"\d+ are needed") as refused:
        codec.compress(volume, max_bytes=60, shape="on", effort="fast")
    needed = int(re.findall(r"(\d+) are needed", str(refused.value))[0])
    made = codec.encode(volume, Target(max_bytes=needed - 20), effort="fast")
    assert len(made.data) <= needed - 20
    assert made.shape_bytes == 0
    assert made.quality.psnr > 15
    with pytest.raises(RateError, match="are needed"):
        codec.compress(volume, max_bytes=60, effort="fast")
