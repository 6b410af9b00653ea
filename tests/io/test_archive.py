"""NumPy archives: the array that is a scan, as of a .npy file; bombs and pickles are refused."""

from __future__ import annotations

import io as streams
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from advice import run_advice
from numpy.lib import format as npy

from deepstd import api, io
from deepstd.errors import DeepSTDError, InputError, UnsupportedFormatError

VOXELS = np.random.default_rng(0).integers(-900, 900, (7, 6, 5), np.int16)


def refused(path: Path, words: str) -> str:
    with pytest.raises(DeepSTDError, match=words) as caught:
        io.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def lying(path: Path, shape: tuple[int, ...], data: bytes, **options: Any) -> None:
    """Write an archive whose array claims a shape, whatever follows."""
    header = streams.BytesIO()
    told = {"descr": "<f8", "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(header, told)
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("a.npy", header.getvalue() + data)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "u1", "f4", "?"])
def test_one_array(tmp_path: Path, save: Any, order: Any, dtype: str) -> None:
    voxels = np.array(VOXELS, dtype, order=order)
    save(tmp_path / "a.npz", voxels)
    volume = io.read(tmp_path / "a.npz")
    np.testing.assert_array_equal(volume.voxels, voxels)
    assert volume.voxels.dtype == voxels.dtype
    assert not volume.notes or dtype == "?"
    assert io.declared(tmp_path / "a.npz") == (voxels.shape, voxels.dtype)
    np.save(tmp_path / "b.npy", voxels)
    io.write(volume, tmp_path / "back.npy")
    assert (tmp_path / "back.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_several_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, imgs=VOXELS, gts=(VOXELS > 0).astype("u1"), spacing=np.ones(3))
    message = refused(path, "2 arrays can be the scan: imgs .7 x 6 x 5, int16., gts .*uint8")
    assert message.endswith(f"Name one: {path}::imgs")
    for name, expected in (("imgs", VOXELS), ("gts", VOXELS > 0)):
        volume = io.read(f"{path}::{name}")
        np.testing.assert_array_equal(volume.voxels, expected)
        (note,) = volume.notes
        assert note.startswith(f"the array {name} of its file; not kept: ")
        assert "spacing" in note
        found = io.outline(Path(f"{path}::{name}"))
        assert found is not None
        assert found.shape == volume.shape
    refused(Path(f"{path}::labels"), "no array labels is in it. It holds imgs, gts, spacing")
    refused(Path(f"{path}::spacing"), r"shape \(3,\) is not supported")


def test_the_only_array_that_can_be_a_scan(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", spacing=np.ones(3), vol=VOXELS, names=np.array(["a", "b"]))
    volume = io.read(tmp_path / "a.npz")
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert "not kept: spacing, names" in volume.notes[0]


def test_names_of_labels_are_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=VOXELS, label=(VOXELS > 0).astype("u1"))
    assert io.read(f"{tmp_path / 'a.npz'}::label").labels
    assert not io.read(f"{tmp_path / 'a.npz'}::image").labels


def test_a_file_whose_name_holds_colons(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"another file")
    np.save(tmp_path / "a::b.npy", VOXELS)
    np.testing.assert_array_equal(io.read(tmp_path / "a::b.npy").voxels, VOXELS)
    np.savez(tmp_path / "c::d.npz", x=VOXELS, y=VOXELS)
    np.testing.assert_array_equal(io.read(f"{tmp_path / 'c::d.npz'}::y").voxels, VOXELS)


def test_a_part_of_a_file_that_has_none(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VOXELS)
    refused(Path(f"{tmp_path / 'a.npy'}::x"), "holds one scan: leave out ::x")
    with pytest.raises(InputError, match="no such file"):
        io.read(f"{tmp_path / 'none.npz'}::x")


def test_nothing_that_can_be_a_scan(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones(3), y=np.ones(4))
    refused(tmp_path / "a.npz", r"no array in it can be a scan.*x \(3, float64\), y")
    np.savez(tmp_path / "a.npz", x=VOXELS + 1j)
    run_advice(refused(tmp_path / "a.npz", "complex128"), tmp_path)
    np.testing.assert_array_equal(io.read(tmp_path / "scan.npy").voxels, VOXELS)


class Trap:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise SystemExit('unpickled')",)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([[Trap(), Trap()]], object), allow_pickle=True)
    refused(tmp_path / "a.npz", "npz: .{9}")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", pickle.dumps(Trap()))
    refused(tmp_path / "a.npz", "npz: .{9}")
    refused(Path(f"{tmp_path / 'a.npz'}::x"), "npz::x: .{9}")


@pytest.mark.parametrize("shape", [(1 << 20, 1 << 20), (1 << 40, 1 << 20), (300, 300)])
def test_claimed_shapes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    lying(tmp_path / "a.npz", shape, bytes(80))
    refused(tmp_path / "a.npz", "damaged|shape")
    assert io.outline(tmp_path / "a.npz") is None


def test_a_bomb(tmp_path: Path) -> None:
    """A directory that declares terabytes, and a header that agrees."""
    lying(tmp_path / "a.npz", (1 << 20, 1 << 20), bytes(800), compression=zipfile.ZIP_DEFLATED)
    data = bytearray((tmp_path / "a.npz").read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    (tmp_path / "a.npz").write_bytes(data)
    refused(tmp_path / "a.npz", "more than its .* packed bytes can hold")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_numpy_does_not_write(tmp_path: Path, method: int) -> None:
    lying(tmp_path / "a.npz", (10, 10), bytes(800), compression=method)
    refused(tmp_path / "a.npz", f"packed by method {method}")


def test_damage(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=VOXELS)
    data = (tmp_path / "a.npz").read_bytes()
    for length in range(31, len(data), 23):
        (tmp_path / "a.npz").write_bytes(data[:length])
        refused(tmp_path / "a.npz", "npz: .{9}")
    middle = bytearray(data)
    middle[len(data) // 2] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(middle)
    refused(tmp_path / "a.npz", "npz: .{9}")


def test_encrypted(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=VOXELS)
    data = bytearray((tmp_path / "a.npz").read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + offset] |= 1
    (tmp_path / "a.npz").write_bytes(data)
    refused(tmp_path / "a.npz", "is encrypted")


def test_lossless_and_back(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=np.asfortranarray(VOXELS), spacing=np.ones(3))
    api.compress(f"{tmp_path / 'a.npz'}::image", tmp_path / "a.dstd", lossless=True)
    for original in (f"{tmp_path / 'a.npz'}::image", tmp_path / "a.npz"):
        assert api.verify(tmp_path / "a.dstd", against=original).as_stated
    back = api.decompress(tmp_path / "a.dstd", tmp_path / "back.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "back.npy"), VOXELS)
    assert any("not kept: spacing" in note for note in back.notes)
    with pytest.raises(UnsupportedFormatError, match=r"back\.npz: .*read and not written"):
        api.decompress(tmp_path / "a.dstd", tmp_path / "back.npz")


def test_a_batch_takes_every_array_that_can_be_a_scan(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", imgs=VOXELS, gts=VOXELS > 0, spacing=np.ones(3))
    np.savez_compressed(tmp_path / "b.npz", x=VOXELS)
    np.savez_compressed(tmp_path / "c.npz", spacing=np.ones(3))
    found = io.discover(tmp_path)
    assert [scan.name for scan in found.scans] == ["a.npz/gts", "a.npz/imgs", "b", "c"]
    np.testing.assert_array_equal(io.read_scan(found.scans[1]).voxels, VOXELS)
    np.testing.assert_array_equal(io.read_scan(found.scans[2]).voxels, VOXELS)
    with pytest.raises(DeepSTDError, match=r"c\.npz: .*is not supported"):
        io.read_scan(found.scans[3])


def test_arrays_of_a_file_are_of_one_patient(tmp_path: Path) -> None:
    from deepstd.train.prepare import _patient_of

    np.savez_compressed(tmp_path / "a.npz", imgs=VOXELS, gts=VOXELS > 0)
    scans = io.discover(tmp_path).scans
    assert {_patient_of(scan, None) for scan in scans} == {"a"}
