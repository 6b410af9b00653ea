"""What is in a folder: scans of all kinds, by their headers alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from deepstd.cli.app import main
from deepstd.container import BundleRef, FrameChunks, Head, pack_notes, write_container
from deepstd.container.writer import About
from deepstd.listing import is_listed, listing

Entries = dict[str, dict[str, Any]]


def dstd(path: Path, **about: Any) -> bytes:
    """Write a file as `deepstd compress` does, but for what only a decoder reads."""
    head = Head("npy", np.dtype("f8"), (40, 30, 20), BundleRef("generic", "10", bytes(8)))
    data = write_container(
        head, b"", [FrameChunks(bytes(3000), None, (bytes(500),))], bytes(4), None, About(**about)
    )
    path.write_bytes(data)
    return data


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder with scans of many kinds, damaged ones, and other files."""
    folder = tmp_path / "mixed"
    (folder / "slices").mkdir(parents=True)
    image = nibabel.Nifti1Image(np.zeros((6, 5, 4), "i2"), np.diag([1.0, 2.0, 3.0, 1.0]))
    image.header["descrip"] = b"T1 of a \x1b[31mknee"
    image.to_filename(folder / "knee.nii.gz")
    np.save(folder / "array.npy", np.zeros((7, 8), "f4"))
    Image.fromarray(np.zeros((5, 9), "u1")).save(folder / "xray.png")
    for number in range(3):
        Image.fromarray(np.zeros((4, 6), "u2")).save(folder / "slices" / f"{number}.png")
    (folder / "brain.nrrd").write_bytes(
        b"NRRD0004\ntype: short\ndimension: 3\nsizes: 3 4 5\nendian: little\nencoding: raw\n\n"
        + bytes(120)
    )
    notes = pack_notes(("slices are tilted",), 1 << 10)
    data = dstd(folder / "knee.dstd", notes=notes, smallest=np.dtype("i2"))
    (folder / "cut.dstd").write_bytes(data[:-700])
    (folder / "longer.dstd").write_bytes(data + b"x")
    (folder / "damaged.nii").write_bytes(b"no header")
    (folder / "notes.txt").write_text("nothing to see")
    (folder / ".hidden.nii").write_bytes(b"")
    return folder


def by_path(found: dict[str, Any]) -> Entries:
    every = [*found["series"], *found["scans"], *found["compressed"]]
    assert len({entry["path"] for entry in every}) == len(every)
    return {entry["path"]: entry for entry in every}


def test_every_kind_is_listed(mixed: Path) -> None:
    found = listing(mixed)
    entries = by_path(found)
    kinds = {
        path: (entry["kind"], entry["shape"], entry["dtype"]) for path, entry in entries.items()
    }
    assert kinds == {
        "knee.nii.gz": ("NIfTI", [6, 5, 4], "int16"),
        "array.npy": ("NPY", [7, 8], "float32"),
        "xray.png": ("PNG", [5, 9], "uint8"),
        "slices": ("3 PNG images", [4, 6, 3], "uint16"),
        "brain.nrrd": ("NRRD", [3, 4, 5], "int16"),
        "knee.dstd": ("dstd of NumPy", [40, 30, 20], "float64"),
        "cut.dstd": ("dstd", None, None),
        "longer.dstd": ("dstd", None, None),
        "damaged.nii": ("NII", None, None),
    }
    assert found["others"] == 1
    assert entries["knee.nii.gz"]["spacing_mm"] == [1, 2, 3]
    assert entries["knee.nii.gz"]["description"] == "T1 of a [31mknee"
    for path, entry in entries.items():
        if path != "slices":
            assert entry["bytes"] == (mixed / path).stat().st_size
    assert entries["slices"]["bytes"] == sum(p.stat().st_size for p in (mixed / "slices").iterdir())


def test_compressed_scans_show_what_they_hold(mixed: Path) -> None:
    entries = by_path(listing(mixed))
    knee = entries["knee.dstd"]
    assert knee["ratio"] == pytest.approx(40 * 30 * 20 * 8 / knee["bytes"])
    assert knee["bundle"] == "generic 10"
    ratio, tilt = knee["notes"]
    assert "of int16, which holds every value" in ratio
    assert tilt == "slices are tilted"
    assert "the file is cut off" in entries["cut.dstd"]["problem"]
    assert "1 bytes follow its end" in entries["longer.dstd"]["problem"]
    assert "does not begin as a NIfTI file" in entries["damaged.nii"]["problem"]
    assert [path for path, entry in entries.items() if entry["problem"]] == [
        path for path in entries if path in ("damaged.nii", "cut.dstd", "longer.dstd")
    ]


def test_the_command(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(mixed)]) == 0
    words = capsys.readouterr()
    lines = words.out.splitlines()
    assert lines[0].split()[:2] == ["path", "kind"]
    first = {line.split("  ")[0]: line for line in lines}
    for path in by_path(listing(mixed)):
        assert path in first
    assert "T1 of a [31mknee" in first["knee.nii.gz"]
    assert "\x1b" not in words.out
    assert "40 x 30 x 20" in first["knee.dstd"]
    assert "cannot be read" in first["damaged.nii"]
    assert "knee.dstd: slices are tilted" in lines
    assert lines[-1] == "1 other files"
    assert main(["info", str(mixed), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == listing(mixed)


def test_a_single_file(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(mixed / "knee.nii.gz")]) == 0
    assert "6 x 5 x 4" in capsys.readouterr().out
    assert is_listed(str(mixed / "knee.nii.gz"))
    assert not is_listed(str(mixed / "knee.dstd"))
    assert not is_listed(str(mixed / "nowhere"))
    assert not is_listed(str(mixed / "notes.txt"))
    (mixed / "foreign.dstd").write_bytes((mixed / "knee.nii.gz").read_bytes())
    assert not is_listed(str(mixed / "foreign.dstd"))
    assert main(["info", str(mixed / "foreign.dstd")]) == 4
    assert not is_listed("https://example.org/scan.nii.gz")


def test_images_of_different_sizes_are_no_stack(mixed: Path) -> None:
    Image.fromarray(np.zeros((4, 7), "u2")).save(mixed / "slices" / "other.png")
    paths = set(by_path(listing(mixed)))
    assert {"slices/0.png", "slices/1.png", "slices/2.png", "slices/other.png"} <= paths


def test_images_beside_something_else_are_no_stack(mixed: Path) -> None:
    (mixed / "slices" / "readme.txt").write_text("three slices")
    assert {"slices/0.png", "slices/1.png", "slices/2.png"} <= set(by_path(listing(mixed)))


def test_nothing_heavy_is_loaded_and_no_voxel_read(mixed: Path) -> None:
    with open(mixed / "large.npy", "wb") as stream:  # a hole of 4 GiB, which nobody reads
        np.lib.format.write_array_header_1_0(
            stream, {"descr": "<f8", "fortran_order": False, "shape": (1 << 13, 1 << 16)}
        )
        stream.truncate(stream.tell() + (1 << 32))
    code = (
        "import sys; from deepstd.cli.app import main; code = main(['info', sys.argv[1]]); "
        "heavy = {'torch', 'SimpleITK', 'constriction'} & set(sys.modules); "
        "sys.exit(code or ' '.join(heavy) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, mixed], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "8192 x 65536" in done.stdout


class TestDicom:
    """Series beside other files."""

    @pytest.fixture
    def series(self, mixed: Path) -> Path:
        pydicom = pytest.importorskip("pydicom", reason="needs pydicom: deepstd[dicom]")
        (mixed / "ct").mkdir()
        for k in range(3):
            dataset = pydicom.Dataset()
            dataset.file_meta = pydicom.dataset.FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
            dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
            dataset.SOPInstanceUID = f"1.2.3.{k}"
            dataset.SeriesInstanceUID, dataset.Modality = "1.2.3", "CT"
            dataset.SeriesDescription, dataset.SeriesDate = "THORAX 1.5\x1b", "20240229"
            dataset.Rows, dataset.Columns = 4, 6
            dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
            dataset.PixelRepresentation, dataset.PixelData = 0, bytes(48)
            dataset.ImagePositionPatient = [0, 0, 2 * k]
            dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            dataset.PixelSpacing = [0.5, 0.25]
            dataset.save_as(mixed / "ct" / f"{k}.dcm", enforce_file_format=True)
        return mixed

    def test_a_series_is_one_line(self, series: Path, capsys: pytest.CaptureFixture[str]) -> None:
        found = listing(series)
        (entry,) = found["series"]
        assert (entry["path"], entry["kind"], entry["shape"]) == ("ct", "CT", [6, 4, 3])
        assert (entry["description"], entry["date"]) == ("THORAX 1.5", "2024-02-29")
        assert entry["bytes"] == sum(p.stat().st_size for p in (series / "ct").iterdir())
        assert len(found["scans"]) == 6
        assert main(["info", str(series)]) == 0
        (line,) = (x for x in capsys.readouterr().out.splitlines() if x.startswith("ct "))
        assert entry["id"] in line
        assert "2024-02-29" in line
        assert line.endswith("THORAX 1.5")

    @pytest.mark.usefixtures("only_tiny")
    @pytest.mark.parametrize(
        ("flag", "kept"), [("--keep-metadata", True), ("--drop-metadata", False)]
    )
    def test_a_compressed_series_shows_what_it_keeps(
        self, series: Path, flag: str, kept: bool
    ) -> None:
        output = series / "ct.dstd"
        size = "20000" if kept else "400"
        assert main(["compress", str(series / "ct"), "--max-bytes", size, flag]) == 0
        entry = by_path(listing(series))["ct.dstd"]
        assert entry["kind"] == "dstd of CT"
        assert entry["spacing_mm"] == [0.25, 0.5, 2.0]
        assert entry["description"] == ("THORAX 1.5" if kept else "")
        assert entry["date"] == ("2024-02-29" if kept else "")
        assert entry["bytes"] == output.stat().st_size

    def test_zip_archives(self, series: Path, tmp_path: Path) -> None:
        shutil.make_archive(str(tmp_path / "ct"), "zip", series / "ct")
        found = listing(tmp_path / "ct.zip")
        (entry,) = found["series"]
        assert entry["path"].startswith("ct.zip")
        assert entry["files"] == 3


def test_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no scans\n"


def test_a_place_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make_bundle: Callable[..., Path]
) -> None:
    assert main(["info", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_arrays_in_files(tmp_path: Path) -> None:
    voxels = np.zeros((4, 5, 6), np.int16)
    np.savez(tmp_path / "a.npz", image=voxels, label=voxels, spacing=np.ones(3))
    found = listing(tmp_path)
    names = [(entry["path"], entry["kind"], entry["shape"]) for entry in found["scans"]]
    assert sorted(names) == [(f"a.npz::{name}", "NPZ", [4, 5, 6]) for name in ("image", "label")]
    assert found["others"] == 1
    one = Path(f"{tmp_path / 'a.npz'}::image")
    assert is_listed(str(one))
    (entry,) = listing(one)["scans"]
    assert (entry["path"], entry["dtype"]) == ("a.npz::image", "int16")
