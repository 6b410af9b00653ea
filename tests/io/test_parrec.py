"""PAR/REC: values and places as nibabel reads them; a header and values that disagree are refused.

The headers are those that nibabel has beside its own tests. Values are made up where it has none.
"""

from __future__ import annotations

import math
import re
import shutil
import warnings
import zipfile
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from nibabel.loadsave import load
from nibabel.parrec import PARRECHeader, PARRECImage

from deepstd import api, io
from deepstd.errors import DeepSTDError, InputError, UnsupportedFormatError

FOLDER = Path(str(resources.files("nibabel"))) / "tests" / "data"
SHIPPED = sorted(path.name for path in FOLDER.glob("*.PAR"))
USUAL = "phantom_EPI_asc_CLEAR_2_1"
# nibabel refuses these as well: fewer volumes or slices than the header states.
LARGE = ("R11_T2W_TSE.PAR", "T1_dual_echo.PAR")  # values of this size take long to make up
SURVEY = "NA.PAR"  # slices of three orientations
TRUNCATED = ("ADC_Map.PAR", "phantom_truncated.PAR")

pytestmark = pytest.mark.skipif(not SHIPPED, reason="nibabel is installed without its test data")


def made(folder: Path, name: str) -> Path:
    """Copy a header, with values of the size that it declares."""
    path = folder / name
    shutil.copyfile(FOLDER / name, path)
    with open(path) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = PARRECHeader.from_fileobj(stream, permit_truncated=True)
    count = math.prod(map(int, header.get_rec_shape()))
    values = np.arange(count, dtype=np.uint64) * 7919 % 4096
    values.astype(header.get_data_dtype()).tofile(path.with_suffix(".REC"))
    return path


def usual(folder: Path) -> Path:
    for suffix in (".PAR", ".REC"):
        shutil.copyfile(FOLDER / f"{USUAL}{suffix}", folder / f"a{suffix}")
    return folder / "a.PAR"


class Seen(NamedTuple):
    values: np.ndarray
    stored: np.ndarray
    affine: np.ndarray


def as_nibabel(path: Path) -> Seen:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # also of the file that nibabel leaves open
        image: Any = PARRECImage.from_filename(path, strict_sort=True)
        seen = Seen(np.asarray(image.dataobj), image.dataobj.get_unscaled(), image.affine)
        del image
    return seen


@pytest.mark.parametrize(
    "name", [name for name in SHIPPED if name not in (*TRUNCATED, *LARGE, SURVEY)]
)
def test_values_and_places(tmp_path: Path, name: str) -> None:
    path = made(tmp_path, name)
    seen, volume = as_nibabel(path), io.read(path)
    np.testing.assert_allclose(io.real_world(volume).voxels, seen.values, rtol=2e-6, atol=1e-4)
    assert volume.affine is not None
    np.testing.assert_allclose(volume.affine, seen.affine, rtol=1e-5, atol=1e-4)
    assert io.declared(path) == (volume.shape, volume.voxels.dtype)
    found = io.outline(path)
    assert found is not None
    assert (found.shape, found.dtype) == (volume.shape, volume.voxels.dtype)


@pytest.mark.parametrize("name", [name for name in SHIPPED if name in TRUNCATED])
def test_a_truncated_scan_is_refused(tmp_path: Path, name: str) -> None:
    path = made(tmp_path, name)
    with pytest.raises(InputError, match=r"PAR: its header cannot be used \(Header inconsist"):
        io.read(path)


@pytest.mark.skipif(SURVEY not in SHIPPED, reason="this nibabel has no survey")
def test_a_survey_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path, SURVEY)
    for use in (io.read, io.declared):
        with pytest.raises(UnsupportedFormatError, match=r"differ in geometry.*Export each"):
            use(path)


def test_one_scale_is_kept_in_the_header(tmp_path: Path) -> None:
    volume = io.read(usual(tmp_path))
    np.testing.assert_array_equal(volume.voxels, as_nibabel(tmp_path / "a.PAR").stored)
    assert volume.voxels.dtype == np.uint16
    assert io.scale_of(volume.source) == (pytest.approx(1.29035), 0)
    io.write(volume, tmp_path / "b.nii")
    image: Any = load(tmp_path / "b.nii")
    assert image.header.get_zooms()[3] == pytest.approx(2)
    assert any("frames differ in dynamic scan number" in note for note in volume.notes)
    assert not any("ANON" in note for note in volume.notes)


def test_either_file_and_any_letters(tmp_path: Path) -> None:
    expected = io.read(usual(tmp_path))
    np.testing.assert_array_equal(io.read(tmp_path / "a.REC").voxels, expected.voxels)
    (tmp_path / "a.PAR").rename(tmp_path / "b.par")
    (tmp_path / "a.REC").rename(tmp_path / "b.rec")
    for name in ("b.par", "b.rec"):
        np.testing.assert_array_equal(io.read(tmp_path / name).voxels, expected.voxels)
        assert io.declared(tmp_path / name) is not None


def test_a_missing_partner(tmp_path: Path) -> None:
    usual(tmp_path).rename(tmp_path / "b.PAR")
    for name, partner in (("b.PAR", "b.REC"), ("a.REC", "a.PAR")):
        with pytest.raises(InputError, match=rf"{name}: .* without its {partner} beside it"):
            io.read(tmp_path / name)
    (tmp_path / "c.par").write_bytes(b"no header")
    with pytest.raises(InputError, match="promises"):
        io.read(tmp_path / "c.par")


@pytest.mark.parametrize("change", [-1, 1, 64 * 64 * 2])
def test_values_of_another_size_are_refused(tmp_path: Path, change: int) -> None:
    path = usual(tmp_path)
    data = (tmp_path / "a.REC").read_bytes()
    (tmp_path / "a.REC").write_bytes((data + bytes(max(change, 0)))[: len(data) + change])
    with pytest.raises(InputError, match=rf"declares .* but a\.REC has {len(data) + change}"):
        io.read(path)
    assert io.outline(path) is None


def test_absurd_sizes(tmp_path: Path) -> None:
    path = usual(tmp_path)
    text = path.read_text()
    path.write_text(re.sub(r"\s64\s+64\s", "  64000000  64000000 ", text))
    with pytest.raises(InputError, match=r"a\.PAR: .*(declares|cannot be used)"):
        io.read(path)


def test_damaged_headers(tmp_path: Path) -> None:
    path = usual(tmp_path)
    text = path.read_text()
    lines = text.splitlines(keepends=True)
    for damaged in (
        text[:40], text[: len(text) // 2], "".join(lines[:-20]), "".join(lines[:60]),
        text.replace("0", "x"), text.replace("  1  ", "  9  "), text.replace("V4.2", "V9.9"),
    ):  # fmt: skip
        path.write_text(damaged)
        with pytest.raises(DeepSTDError, match=r"a\.PAR: ") as caught:
            io.read(path)
        assert "\n" not in str(caught.value)


def test_a_batch_finds_one_scan(tmp_path: Path) -> None:
    usual(tmp_path)
    found = io.discover(tmp_path)
    assert [scan.name for scan in found.scans] == ["a"]
    assert not found.passed_over


def test_members_of_an_archive(tmp_path: Path) -> None:
    expected = io.read(usual(tmp_path))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for suffix in (".PAR", ".REC"):
            archive.write(tmp_path / f"a{suffix}", f"in/a{suffix}")
    (scan,) = io.discover(tmp_path / "a.zip").scans
    np.testing.assert_array_equal(io.read_scan(scan).voxels, expected.voxels)


def test_lossless_and_back(tmp_path: Path) -> None:
    path = usual(tmp_path)
    api.compress(path, tmp_path / "a.dstd", lossless=True)
    assert api.verify(tmp_path / "a.dstd", against=path).as_stated
    api.decompress(tmp_path / "a.dstd", tmp_path / "b.nii.gz")
    image: Any = load(tmp_path / "b.nii.gz")
    np.testing.assert_allclose(np.asarray(image.dataobj), as_nibabel(path).values, rtol=1e-6)
