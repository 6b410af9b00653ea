"""HDF5: a dataset as it lies in its file; claims, links and values elsewhere are refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from advice import run_advice

from deepstd import api, io
from deepstd.errors import DeepSTDError, InputError, MissingExtraError, UnsupportedFormatError

h5py: Any = pytest.importorskip("h5py", reason="pip install 'deepstd[hdf5]'")

VOXELS = np.random.default_rng(0).integers(-900, 900, (7, 6, 5), np.int16)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.h5"


def refused(place: Path | str, words: str, kind: type[DeepSTDError] = DeepSTDError) -> str:
    with pytest.raises(kind, match=words) as caught:
        io.read(place)
    message = str(caught.value)
    assert message.startswith(f"{place}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"compression": "lzf"},
                                     {"chunks": (3, 4, 5), "shuffle": True}])  # fmt: skip
@pytest.mark.parametrize("dtype", ["<i2", ">u2", "u1", "f2", ">f8", "?"])
def test_one_dataset(path: Path, dtype: str, options: dict[str, Any]) -> None:
    voxels = VOXELS.astype(dtype)
    with h5py.File(path, "w") as file:
        file.create_dataset("group/image", data=voxels, **options)
    volume = io.read(path)
    np.testing.assert_array_equal(volume.voxels, voxels)
    assert volume.voxels.dtype == voxels.dtype
    assert volume.affine is None
    assert io.declared(path) == (voxels.shape, voxels.dtype)
    found = io.outline(path)
    assert found is not None
    assert (found.shape, found.dtype) == (voxels.shape, voxels.dtype)
    path.rename(path.with_name("no-suffix"))
    np.testing.assert_array_equal(io.read(path.with_name("no-suffix")).voxels, voxels)


def test_several_datasets(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["image"], file["seg/label"], file["spacing"] = VOXELS, VOXELS[:3], np.ones(3)
        file["same"] = h5py.SoftLink("/seg/label")
        file["seg/up"] = h5py.SoftLink("../image")
        file["round"] = h5py.SoftLink("/round")
        file["group"] = h5py.SoftLink("/seg")
    message = refused(path, "2 arrays can be the scan: image .7 x 6 x 5, int16., seg/label")
    assert message.endswith(f"Name one: {path}::image")
    for name, expected in (
        ("image", VOXELS),
        ("/seg/label", VOXELS[:3]),
        ("same", VOXELS[:3]),
        ("group/label", VOXELS[:3]),
    ):
        np.testing.assert_array_equal(io.read(f"{path}::{name}").voxels, expected)
    refused(f"{path}::none", "no dataset none is in it. Its datasets: image, seg/label, spacing")
    refused(f"{path}::image/x", "no dataset image/x")
    refused(f"{path}::seg", "a group, not a dataset: seg")
    refused(f"{path}::spacing", r"shape \(3,\)")
    refused(f"{path}::round", "lead in a circle")


def test_the_only_dataset_that_can_be_a_scan(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["vol"], file["spacing"], file["empty"] = VOXELS, np.ones(3), h5py.Empty("f4")
        file["text"] = "a line"
    volume = io.read(path)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert "not kept: empty, spacing, text" in volume.notes[0]


def test_types_that_are_no_grey_values(path: Path, tmp_path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["complex"] = VOXELS + 1j * VOXELS
        file["fields"] = np.zeros((4, 5), [("a", "i2"), ("b", "f4")])
        file["texts"] = np.array([[b"a", b"b"]], object)
        file["enum"] = np.zeros((3, 4), h5py.enum_dtype({"A": 0}, "u1"))
        file.create_dataset("vlen", (2, 2), h5py.vlen_dtype("u1"))
        file.create_dataset("references", (2, 2), h5py.ref_dtype)
        file.create_dataset("arrays", (2, 2), np.dtype(("i2", (3,))))
    for name in ("fields", "texts", "vlen", "references"):
        refused(f"{path}::{name}", "is not supported", UnsupportedFormatError)
    run_advice(refused(f"{path}::complex", "complex128"), tmp_path)
    np.testing.assert_array_equal(io.read(tmp_path / "scan.npy").voxels, VOXELS)
    refused(f"{path}::arrays", "is not supported", UnsupportedFormatError)
    assert io.read(f"{path}::enum").voxels.dtype == np.uint8


@pytest.mark.parametrize("chunks", [None, (64, 64, 64), (1 << 12, 1 << 11, 1 << 7)])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_terabytes_of_fill_values(
    path: Path, chunks: tuple[int, ...] | None, compression: str | None
) -> None:
    with h5py.File(path, "w") as file:
        shape = (1 << 14, 1 << 14, 1 << 14)
        options = {} if chunks is None else {"chunks": chunks, "compression": compression}
        data = file.create_dataset("x", shape, "f8", **options)
        if chunks is not None and np.prod(chunks) < 1 << 20:
            data[0, 0, 0] = 1
    assert path.stat().st_size < 3 << 20
    refused(path, "never written", InputError)
    assert io.outline(path) is None


def test_a_chunk_larger_than_the_scan(path: Path) -> None:
    resizable = {"maxshape": (None,) * 3, "compression": "gzip"}
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=VOXELS, chunks=(70, 60, 50), **resizable)
    np.testing.assert_array_equal(io.read(path).voxels, VOXELS)


def test_values_in_other_files(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(range(256)))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = VOXELS
    with h5py.File(path, "w") as file:
        file["external"] = h5py.ExternalLink("other.h5", "/x")
        file["soft"] = h5py.SoftLink("/external")
        file["group"] = h5py.ExternalLink("other.h5", "/")
        file.create_dataset("storage", (16, 16), "u1", external=[(str(secret), 0, 256)])
        layout = h5py.VirtualLayout(VOXELS.shape, "i2")
        layout[...] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", VOXELS.shape)
        file.create_virtual_dataset("virtual", layout)
    for name in ("external", "soft", "group/x"):
        refused(f"{path}::{name}", "lies in another file", UnsupportedFormatError)
    for name in ("storage", "virtual"):
        refused(f"{path}::{name}", "lie in other files", UnsupportedFormatError)
    with h5py.File(path, "a") as file:
        del file["virtual"]
    refused(path, "storage lie in other files", UnsupportedFormatError)


def test_a_filter_that_is_not_there(path: Path) -> None:
    with h5py.File(path, "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((7, 6, 5))
        plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))  # Zstandard
        space, kind = h5py.h5s.create_simple((7, 6, 5)), h5py.h5t.NATIVE_INT16
        h5py.h5d.create(file.id, b"x", kind, space, plist)
    refused(path, "packed by HDF5 filter 32015.*hdf5plugin", UnsupportedFormatError)


def test_many_objects(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepstd.io.hdf5._MOST_OBJECTS", 20)
    with h5py.File(path, "w") as file:
        for number in range(21):
            file[f"{number:02d}"] = VOXELS
    refused(path, "more than 20 objects", UnsupportedFormatError)
    np.testing.assert_array_equal(io.read(f"{path}::20").voxels, VOXELS)


def test_damage(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=VOXELS, compression="gzip")
    data = path.read_bytes()
    for length in range(8, len(data), len(data) // 20):
        path.write_bytes(data[:length])
        refused(path, "damaged|cut short|no array")


def test_an_open_file_can_be_read(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = VOXELS
    with h5py.File(path, "r"):
        np.testing.assert_array_equal(io.read(path).voxels, VOXELS)


def test_without_h5py(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = VOXELS
    monkeypatch.setitem(sys.modules, "h5py", None)
    refused(path, r'pip install "deepstd\[hdf5\]"', MissingExtraError)


def test_lossless_and_back(path: Path, tmp_path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["image"], file["label"] = VOXELS, VOXELS
    place = f"{path}::image"
    api.compress(place, tmp_path / "a.dstd", lossless=True)
    assert api.verify(tmp_path / "a.dstd", against=place).as_stated
    api.decompress(tmp_path / "a.dstd", tmp_path / "back.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "back.npy"), VOXELS)
