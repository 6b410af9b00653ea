"""Zip archives of DICOM files: opened once, unpacked no more than needed, closed."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepstd import io
from deepstd.errors import InputError
from deepstd.io.dicom.items import Item, expanded

Save = Callable[..., Path]
HEAD = 132


class Counted(zipfile.ZipFile):
    """Archives that tell how often they are opened, and whether they are closed again."""

    all: list[Counted] = []  # noqa: RUF012  # emptied by each test
    most_open = 0

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # pyright: ignore[reportArgumentType, reportCallIssue]
        Counted.all.append(self)
        Counted.most_open = max(Counted.most_open, sum(one.fp is not None for one in Counted.all))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[Counted]:
    Counted.all, Counted.most_open = [], 0
    monkeypatch.setattr(zipfile, "ZipFile", Counted)
    return Counted


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """Bytes of every reading of a member, by its name."""
    found: dict[str, list[int]] = {}
    read = zipfile.ZipExtFile.read

    def counting(self: zipfile.ZipExtFile, n: int | None = -1) -> bytes:
        data = read(self, n)
        found.setdefault(self.name, []).append(len(data))
        return data

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counting)
    return found


def pack(files: list[Path], archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in files:
            packed.write(path, f"a/{path.name}")
    return archive


@pytest.fixture
def series(save_series: Save, ramp: np.ndarray, tmp_path: Path) -> Path:
    """An archive of five slices and a large file of another kind."""
    folder = save_series(ramp, [(10.0, 20.0, 2.5 * k) for k in range(5)])
    (folder / "film.bin").write_bytes(bytes(range(256)) * 4000)
    return pack(sorted(folder.iterdir()), tmp_path / "series.zip")


def test_an_archive_is_opened_once_and_closed(
    series: Path, ramp: np.ndarray, counted: type[Counted]
) -> None:
    for use in (lambda: io.read(series).voxels, lambda: io.survey([series])):
        counted.all.clear()
        use()
        assert len(counted.all) == 1
        assert counted.all[0].fp is None
    np.testing.assert_array_equal(io.read(series).voxels, ramp)


def test_an_archive_is_closed_after_an_error(series: Path, counted: type[Counted]) -> None:
    with pytest.raises(InputError, match="there is no series 00000000"):
        io.read(series, series="00000000")
    assert [archive.fp for archive in counted.all] == [None]


def test_a_member_is_unpacked_for_its_header_and_its_pixels_alone(
    series: Path, unpacked: dict[str, list[int]]
) -> None:
    with zipfile.ZipFile(series) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    io.read(series)
    assert unpacked.pop("a/film.bin") == [HEAD]
    assert len(unpacked) == 5
    for name, counts in unpacked.items():
        assert sorted(counts) == [HEAD, sizes[name], sizes[name]]


def test_a_series_over_many_archives_keeps_few_open(
    save_series: Save, ramp: np.ndarray, tmp_path: Path, counted: type[Counted]
) -> None:
    many = np.concatenate([ramp] * 4, axis=2)
    folder = save_series(many, [(10.0, 20.0, 2.5 * k) for k in range(20)])
    archives = [
        pack([path], tmp_path / f"{n}.zip") for n, path in enumerate(sorted(folder.iterdir()))
    ]
    counted.all.clear()
    counted.most_open = 0
    np.testing.assert_array_equal(io.read(archives).voxels, many)
    assert counted.most_open <= 9
    assert all(archive.fp is None for archive in counted.all)


def test_items_travel_to_other_processes(series: Path) -> None:
    with expanded([series]) as items:
        first = next(iter(items))
        copy = pickle.loads(pickle.dumps(first))
        assert copy == first
        assert copy.head() == first.head()
        with copy.open() as stream:
            assert stream.read() == first.open().read()
        copy.archives.close()
    assert first == Item(series, first.member)


@pytest.mark.parametrize("damaged", ["a/003", "a/film.bin"])
def test_only_what_is_damaged_is_refused(
    series: Path, ramp: np.ndarray, tmp_path: Path, damaged: str
) -> None:
    """A checksum in the archive tells; that of a file that is no slice is nobody's concern."""
    with zipfile.ZipFile(series) as archive:
        info = archive.getinfo(damaged)
    crc = info.CRC.to_bytes(4, "little")
    data = series.read_bytes()
    assert data.count(crc) == 2
    path = tmp_path / "damaged.zip"
    path.write_bytes(data.replace(crc, bytes(b ^ 1 for b in crc)))
    if damaged == "a/film.bin":
        np.testing.assert_array_equal(io.read(path).voxels, ramp)
        return
    with pytest.raises(InputError, match=r"damaged\.zip:a/003: cannot be unpacked \(BadZipFile\)"):
        io.read(path)


def test_damaged_data_are_told_as_an_error(series: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(series) as archive:
        info = archive.getinfo("a/003")
    data = bytearray(series.read_bytes())
    start = info.header_offset + 30 + len(info.filename)
    data[start : start + info.compress_size] = b"\xff" * info.compress_size
    path = tmp_path / "damaged.zip"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"damaged\.zip:a/003: cannot be unpacked"):
        io.read(path)


def test_series_in_an_archive_are_discovered_and_read_by_their_members_alone(
    series: Path, ramp: np.ndarray, tmp_path: Path, unpacked: dict[str, list[int]]
) -> None:
    (tmp_path / "found").mkdir()
    series.rename(tmp_path / "found" / "s.zip")
    found = io.discover(tmp_path / "found")
    (scan,) = found.scans
    assert scan.name == f"s.zip/a/{scan.series}"
    assert len(scan.members) == 5
    assert [one.name for one in found.passed_over] == ["s.zip/a/film.bin"]
    unpacked.clear()
    copy = pickle.loads(pickle.dumps(scan))
    np.testing.assert_array_equal(io.read_scan(copy).voxels, ramp)
    assert "a/film.bin" not in unpacked


def test_a_series_may_lie_in_an_archive_and_beside_it(
    save_series: Save, ramp: np.ndarray, tmp_path: Path
) -> None:
    folder = save_series(ramp, [(10.0, 20.0, 2.5 * k) for k in range(5)])
    files = sorted(folder.iterdir())
    pack(files[:2], folder / "some.zip")
    for path in files[:2]:
        path.unlink()
    (scan,) = io.discover(folder).scans
    np.testing.assert_array_equal(io.read_scan(scan).voxels, ramp)


def test_a_damaged_member_of_a_series_is_not_left_out(series: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(series) as archive:
        info = archive.getinfo("a/003")
    data = bytearray(series.read_bytes())
    start = info.header_offset + 30 + len(info.filename)
    data[start : start + info.compress_size] = b"\xff" * info.compress_size
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "s.zip").write_bytes(data)
    broken, rest = io.discover(tmp_path / "found").scans
    assert (len(rest.files), broken.name) == (4, "s.zip/a/003")
    with pytest.raises(InputError, match=r"s\.zip:a/003: cannot be unpacked"):
        io.read_scan(broken)


def test_a_member_with_a_tail_of_zeros_is_not_unpacked(
    series: Path, tmp_path: Path, unpacked: dict[str, list[int]]
) -> None:
    with zipfile.ZipFile(series) as archive:
        names = [name for name in archive.namelist() if name != "a/film.bin"]
        members = {name: archive.read(name) for name in names}
    unpacked.clear()
    path = tmp_path / "tail.zip"
    tail = (1 << 26) + (1 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data + bytes(tail if name == names[0] else 0))
    assert path.stat().st_size < 1 << 20
    (entry,) = io.survey([path])["series"]
    assert "unpacks to 68" in entry["problem"]
    with pytest.raises(InputError, match=r"a/003: unpacks to 68\d+ bytes, its image has 48"):
        io.read(path)
    assert sum(unpacked[names[0]]) < 1 << 18


def test_a_short_tail_does_no_harm(series: Path, ramp: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "tail.zip"
    with zipfile.ZipFile(series) as archive, zipfile.ZipFile(path, "w") as padded:
        for name in archive.namelist():
            padded.writestr(name, archive.read(name) + bytes(4096))
    np.testing.assert_array_equal(io.read(path).voxels, ramp)
