"""Which scans a folder holds, and what they are called."""

from __future__ import annotations

import gzip
import io as io_module
import os
import pickle
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.nifti1 import Nifti1Pair
from PIL import Image

from deepstd.errors import InputError
from deepstd.io import declared, discover, passed, read_scan
from deepstd.io.formats import SUFFIXES


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")


def names(folder: Path) -> list[str]:
    return [scan.name for scan in discover(folder).scans]


def test_what_is_a_scan(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "b/c.NII", "b/d.npy", "e.png", "f.tif", "g.TIFF")
    touch(tmp_path, ".hidden.nii", ".cache/x.nii", "a.dstd", "notes.txt", "ledger.jsonl", "h.gz")
    assert names(tmp_path) == ["a", "b/c", "b/d", "e", "f", "g"]
    first = discover(tmp_path).scans[0]
    assert (first.files, first.series, first.nbytes) == ((tmp_path / "a.nii.gz",), None, 5)


def test_scans_that_differ_by_their_suffix_keep_it(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "a.png", "b.nii", "x/a.npy", "c.png.npy", "c.png")
    assert names(tmp_path) == ["a.nii.gz", "a.png", "b", "c", "c.png.npy", "x/a"]


parts = st.sampled_from(["a", "b", ".nii", ".gz", ".npy", ".png", ".tif"])
file_names = st.lists(parts, min_size=1, max_size=4).map("".join)


@given(st.sets(file_names, max_size=12))
def test_no_two_scans_have_one_name(files: set[str]) -> None:
    with TemporaryDirectory() as folder:
        touch(Path(folder), *files)
        found = discover(Path(folder)).scans
        assert len({scan.name for scan in found}) == len(found)
        wanted = {f for f in files if f.endswith(SUFFIXES)}
        assert {scan.files[0].name for scan in found} == {f for f in wanted if f[0] != "."}


def test_links(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.npy", "elsewhere/b.npy", "scans/c.npy")
    (tmp_path / "scans" / "loop").symlink_to(tmp_path / "scans", target_is_directory=True)
    (tmp_path / "scans" / "linked").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "scans" / "again").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "scans" / "b.npy").symlink_to(tmp_path / "elsewhere" / "b.npy")
    (tmp_path / "scans" / "gone.npy").symlink_to(tmp_path / "nowhere.npy")
    assert names(tmp_path / "scans") == ["again/a", "b", "c", "gone"]
    with pytest.raises(InputError, match="no such file"):
        read_scan(discover(tmp_path / "scans").scans[-1])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nii")
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.npy", "closed/b.npy")
    scandir = os.scandir

    def guarded(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("os.scandir", guarded)
    found = discover(tmp_path)
    assert [scan.name for scan in found.scans] == ["a"]
    assert found.unreadable == [tmp_path / "closed"]


def test_a_single_file(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "odd")
    assert names(tmp_path / "a.nii.gz") == ["a"]
    assert names(tmp_path / "odd") == ["odd"]
    with pytest.raises(InputError, match="no such"):
        discover(tmp_path / "nothing")


def test_what_a_header_declares(tmp_path: Path, phantom: Callable[..., np.ndarray]) -> None:
    nibabel.save(nibabel.Nifti1Image(phantom((5, 6, 7)), np.eye(4)), tmp_path / "a.nii.gz")
    big = nibabel.Nifti2Image(phantom((5, 6), "float32").astype(">f4"), np.eye(4))
    nibabel.save(big, tmp_path / "b.nii")
    np.save(tmp_path / "c.npy", phantom((3, 4, 5, 2), "uint8"))
    Image.fromarray(phantom((8, 9), "uint16")).save(tmp_path / "d.png")
    Image.fromarray(phantom((8, 9), "uint8")).save(tmp_path / "e.tif")
    for scan in discover(tmp_path).scans:
        voxels = read_scan(scan).voxels
        assert declared(scan.files[0]) == (voxels.shape, voxels.dtype)


def test_a_header_that_lies(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4))
    data = bytearray(image.to_bytes())
    data[42:44] = (30000).to_bytes(2, "little")
    (tmp_path / "a.nii").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.nii: .*cut short"):
        declared(tmp_path / "a.nii")


def pack(archive: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members:
            packed.writestr(name, data)
    return archive


@pytest.fixture
def nifti(phantom: Callable[..., np.ndarray]) -> bytes:
    return nibabel.Nifti1Image(phantom((5, 6, 7)), np.eye(4)).to_bytes()


def test_scans_in_an_archive(
    tmp_path: Path, nifti: bytes, phantom: Callable[..., np.ndarray]
) -> None:
    buffer = io_module.BytesIO()
    np.save(buffer, phantom((4, 5, 6)))
    pack(
        tmp_path / "sub" / "a.zip",
        ("x/one.nii", nifti),
        ("x/one.nii.gz", gzip.compress(nifti)),
        ("x/two.NII", nifti),
        ("three.npy", buffer.getvalue()),
        ("notes.txt", b"no scan"),
        ("__MACOSX/x/._one.nii", b"no scan"),
    )
    found = discover(tmp_path)
    wanted = ["sub/a.zip/three", "sub/a.zip/x/one.nii", "sub/a.zip/x/one.nii.gz", "sub/a.zip/x/two"]
    assert [scan.name for scan in found.scans] == wanted
    shapes = [read_scan(scan).shape for scan in found.scans]
    assert shapes == [(4, 5, 6), (5, 6, 7), (5, 6, 7), (5, 6, 7)]
    one = pickle.loads(pickle.dumps(found.scans[1]))
    assert (one.label, one.places) == ("one.nii", [tmp_path / "sub" / "a.zip" / "x" / "one.nii"])
    assert read_scan(one).source.raw == read_scan(found.scans[2]).source.raw
    assert sum(scan.nbytes for scan in found.scans) < (tmp_path / "sub" / "a.zip").stat().st_size
    assert [(one.name, one.kind) for one in found.passed_over] == [
        ("sub/a.zip/__MACOSX/x/._one.nii", passed.HIDDEN),
        ("sub/a.zip/notes.txt", ".txt files"),
    ]
    assert [scan.name for scan in discover(tmp_path / "sub" / "a.zip").scans] == [
        name.removeprefix("sub/") for name in wanted
    ]


def test_voxels_in_a_file_of_their_own_are_found_in_an_archive(tmp_path: Path) -> None:
    header = b"ObjectType = Image\nNDims = 3\nDimSize = 2 3 4\nElementType = MET_UCHAR\n"
    data = ("x/a.raw", bytes(range(24)))
    pack(
        tmp_path / "a.zip",
        ("x/a.mhd", header + b"ElementDataFile = a.raw\n"),
        data,
        ("x/b.mhd", header + b"ElementDataFile = ../../b.raw\n"),
        ("b.raw", bytes(24)),
    )
    first, second = discover(tmp_path).scans
    assert read_scan(first).voxels.ravel(order="F").tolist() == list(range(24))
    with pytest.raises(InputError, match=r"a\.zip:x/b\.mhd: .*not in its own folder"):
        read_scan(second)
    assert [one.name for one in discover(tmp_path).passed_over] == ["a.zip/b.raw"]


def test_data_files_below_their_header_and_pairs_in_archives(tmp_path: Path) -> None:
    header = b"ObjectType = Image\nNDims = 3\nDimSize = 4 3 2\nElementType = MET_UCHAR\n"
    image = Nifti1Pair(np.arange(24, dtype="u1").reshape((4, 3, 2), order="F"), np.eye(4))
    image.to_filename(tmp_path / "p.hdr")
    pair = [(tmp_path / f"p.{suffix}").read_bytes() for suffix in ("hdr", "img")]
    for suffix in ("hdr", "img"):
        (tmp_path / f"p.{suffix}").unlink()
    pack(
        tmp_path / "a.zip",
        ("x/a.mhd", header + b"ElementDataFile = ./data/a.raw\n"),
        ("x/data/a.raw", bytes(range(24))),
        ("x/p.hdr", pair[0]),
        ("x/p.img", pair[1]),
    )
    found = discover(tmp_path)
    assert [scan.name for scan in found.scans] == ["a.zip/x/a", "a.zip/x/p"]
    for scan in found.scans:
        assert read_scan(scan).voxels.ravel(order="F").tolist() == list(range(24))
    assert "a.zip/x/p.img" not in [one.name for one in found.passed_over]


def test_a_scan_in_an_archive_that_is_damaged_is_named(tmp_path: Path, nifti: bytes) -> None:
    pack(tmp_path / "a.zip", ("good.nii", nifti), ("bad.nii", b"no scan"), ("cut.nii", nifti[:400]))
    bad, cut, good = discover(tmp_path).scans
    assert read_scan(good).shape == (5, 6, 7)
    for scan in (bad, cut):
        with pytest.raises(InputError, match=rf"a\.zip:{scan.label}: ") as caught:
            read_scan(scan)
        assert "deepstd-" not in str(caught.value)


UNSAFE = [
    "../out.nii",
    "/abs.nii",
    "a/../../b.nii",
    "c:\\d.nii",
    "e//f.nii",
    "./g.nii",
    "h\x01.nii",
]


def test_members_with_unsafe_names_are_scans_with_safe_names(tmp_path: Path, nifti: bytes) -> None:
    pack(tmp_path / "a.zip", *((name, nifti) for name in UNSAFE))
    found = discover(tmp_path).scans
    assert len({scan.name for scan in found}) == len(UNSAFE)
    for scan in found:
        folder, name = scan.name.split("/")
        assert (folder, name[:7]) == ("a.zip", "member-")
        assert read_scan(scan).shape == (5, 6, 7)
    assert [scan.name for scan in discover(tmp_path).scans] == [scan.name for scan in found]


def test_links_doubles_and_archives_in_an_archive_are_passed_over(
    tmp_path: Path, nifti: bytes
) -> None:
    link = zipfile.ZipInfo("link.nii")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    inner = pack(tmp_path / "inner" / "in.zip", ("deep.nii", nifti)).read_bytes()
    shutil.rmtree(tmp_path / "inner")
    with pytest.warns(UserWarning, match="Duplicate name"):
        pack(
            tmp_path / "a.zip",
            (link, b"/etc/passwd"),
            ("twice.nii", b"first"),
            ("twice.nii", nifti),
            ("in.zip", inner),
        )
    found = discover(tmp_path)
    assert [scan.name for scan in found.scans] == ["a.zip/twice"]
    assert read_scan(found.scans[0]).shape == (5, 6, 7)
    assert {one.name: one.kind for one in found.passed_over} == {
        "a.zip/link.nii": passed.LINKS,
        "a.zip/twice.nii": passed.DOUBLES,
        "a.zip/in.zip": passed.NESTED,
    }


def test_an_archive_that_cannot_be_opened_fails_when_read(tmp_path: Path, nifti: bytes) -> None:
    (tmp_path / "cut.zip").write_bytes(pack(tmp_path / "x.zip", ("a.nii", nifti)).read_bytes()[:99])
    (tmp_path / "x.zip").unlink()
    (scan,) = discover(tmp_path).scans
    assert scan.name == "cut.zip"
    with pytest.raises(InputError, match=r"cut\.zip: a damaged zip archive"):
        read_scan(scan)


def test_an_archive_that_needs_a_password_fails_when_read(tmp_path: Path, nifti: bytes) -> None:
    data = bytearray(pack(tmp_path / "a.zip", ("a.nii", nifti), ("b", b"x")).read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := data.find(magic, at + 1)) >= 0:
            data[at + offset] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    (scan,) = discover(tmp_path).scans
    with pytest.raises(InputError, match="encrypted"):
        read_scan(scan)


def test_an_archive_that_declares_absurdly_much_is_refused_at_once(tmp_path: Path) -> None:
    data = bytearray(pack(tmp_path / "a.zip", ("a.nii", bytes(99))).read_bytes())
    size = (0xFFFFFF00).to_bytes(4, "little")
    for magic, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.find(magic) + offset
        data[at : at + 4] = size
    (tmp_path / "a.zip").write_bytes(data)
    (scan,) = discover(tmp_path).scans
    with pytest.raises(InputError, match=r"a\.zip:a\.nii: "):
        read_scan(scan)


def test_no_more_is_unpacked_than_there_is_room(
    tmp_path: Path, nifti: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(tmp_path / "a.zip", ("a.nii", nifti))
    (scan,) = discover(tmp_path).scans
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r"a\.zip:a\.nii: unpacks to .* TMPDIR"):
        read_scan(scan)


def test_what_is_passed_over_is_told_by_kind(tmp_path: Path, nifti: bytes) -> None:
    touch(tmp_path, "a.nii", "b.json", "c.dstd", "d.tar", ".git/x", "sub/.DS_Store", "README")
    touch(tmp_path, "x.20260101", "e.mhd", "e.raw", "f.raw")
    pack(tmp_path / "office.docx", ("word/document.xml", b"<xml/>"))
    (tmp_path / "sub" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nothing")
    (tmp_path / "IM1").symlink_to(tmp_path / "nothing")
    found = discover(tmp_path)
    assert [scan.name for scan in found.scans] == ["IM1", "a", "e"]
    assert {one.name: one.kind for one in found.passed_over} == {
        ".git": passed.HIDDEN,
        "README": passed.NAMELESS,
        "b.json": ".json files",
        "c.dstd": passed.COMPRESSED,
        "d.tar": passed.ARCHIVES,
        "f.raw": ".raw files",
        "gone.txt": ".txt files",
        "office.docx": ".docx files",
        "sub/.DS_Store": passed.HIDDEN,
        "sub/up": passed.AGAIN,
        "x.20260101": passed.OTHERS,
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nii")
    assert [one.kind for one in discover(tmp_path).passed_over] == [passed.SPECIAL]
