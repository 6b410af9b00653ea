"""What cannot work is refused at once, and nothing that can is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepstd import api, io, preflight
from deepstd.cli.compress import default_output
from deepstd.container import least_bytes
from deepstd.errors import DeviceError, InputError, OutputExistsError, RateError
from deepstd.io import Metadata
from deepstd.rate.target import Target

nib = pytest.importorskip("nibabel")
Phantom = Callable[..., np.ndarray]

# Every mistake with the exit code and words of the message; "{}" stands for a folder of inputs.
MISTAKES = [
    ("compress typo.npy --ratio 64", 1, "typo.npy: no such file"),
    ("compress scan.npy --ratio 64 -o new.nii.gz", 1, "Name it new.dstd"),
    ("compress scan.npy --ratio 64 -o full", 1, "names a folder"),
    ("compress scan.npy --ratio 64 -o new/", 1, "names a folder"),
    ("compress scan.npy --ratio 64 -o nowhere/new.dstd", 1, "Create it first"),
    ("compress scan.npy --ratio 64 -o scan.dstd", 1, "scan.dstd: the file exists already"),
    ("compress scan.npy --ratio 64 -o a.dstd -m typo", 1, "no bundle 'typo'"),
    ("compress scan.npy --ratio 64 -o a.dstd -d gpu", 1, "device 'gpu'"),
    ("compress scan.npy --ratio 100000 -o a.dstd", 1, "scan.npy: cannot make the file that small"),
    ("compress huge.npy --ratio 64 -o a.dstd", 1, "huge.npy: compressing its 68,719,476,736"),
    ("decompress scan.dstd -o scan.npy", 1, "scan.npy: the file exists already"),
    ("decompress scan.dstd -o scan.npy", 1, "--overwrite"),
    ("decompress scan.dstd -o new.dstd", 1, "new.dstd: has the name of a compressed scan"),
    ("decompress scan.dstd -o new.xyz", 1, "names no format: expected one of .nii.gz"),
    ("decompress scan.dstd -o new.png", 1, "new.png: a scan of 3 axes"),
    ("decompress scan.dstd -o new.npy -m chest-xray", 4, "which is not the one at hand"),
    ("decompress scan.dstd -o new.npy --level 9", 1, "has not 9 levels"),
    ("decompress scan.npy -o new.npy", 4, "scan.npy is not a .dstd file"),
    ("verify scan.dstd --against typo.npy", 1, "typo.npy: no such file"),
    ("verify scan.dstd --against other.npy", 1, "they are not the same scan"),
    ("register typo.npy --to scan.npy -o new.npy", 1, "typo.npy: no such file"),
    ("register scan.npy --to generic -o new.npy", 1, "has no template"),
    ("register scan.npy --to other.npy -o full/a.npy", 1, "a.npy: the file exists already"),
    ("prepare scan.npy typo -o cache", 1, "typo: no such file or folder"),
    ("prepare scan.npy -o text.txt", 1, "is a file, not a folder"),
    ("train typo -o new", 1, "typo: no such file or folder"),
    ("train full -o new --config bad.toml", 1, "bad.toml: unknown entries ['width']"),
    ("train full -o new --from typo", 1, "no bundle 'typo'"),
    ("train full -o new --resume", 1, "no checkpoint to resume from"),
    ("train full -o New@1", 1, "does not suit a bundle"),
    ("compare typo.npy -o new", 1, "typo.npy: no such file or folder"),
    ("compare scan.npy -o text.txt --codecs deepstd", 1, "is a file, not a folder"),
    ("evaluate scan.npy -o new -m typo", 1, "no bundle 'typo'"),
    ("batch full text.txt --ratio 64", 1, "is a file, not a folder"),
    ("batch full new --ratio 64 -d gpu", 1, "device 'gpu'"),
]
_PROGRAM = """
import contextlib, io, json, sys
from deepstd.cli.app import main
found = []
for command in json.loads(sys.argv[1]):
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        code = main(command.split())
    found.append([code, told.getvalue(), "torch" in sys.modules])
print(json.dumps(found))
"""


@pytest.fixture
def folder(tmp_path: Path, phantom: Phantom, only_tiny: Path) -> Path:
    """Inputs of all kinds."""
    np.save(tmp_path / "scan.npy", phantom((18, 16, 12)))
    np.save(tmp_path / "other.npy", phantom((18, 16, 11)))
    api.compress(tmp_path / "scan.npy", tmp_path / "scan.dstd", ratio=16, model=str(only_tiny))
    (tmp_path / "full").mkdir()
    shutil.copy(tmp_path / "scan.npy", tmp_path / "full" / "a.npy")
    (tmp_path / "text.txt").write_text("no scan")
    (tmp_path / "bad.toml").write_text('name = "new"\nwidth = 3\n')
    with open(tmp_path / "huge.npy", "wb") as stream:  # sparse: it takes no space
        header = {"descr": "<i2", "fortran_order": False, "shape": (4096, 4096, 4096)}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.truncate(stream.tell() + 2 * 4096**3)
    return tmp_path


def test_mistakes_are_refused_without_torch(folder: Path) -> None:
    commands = json.dumps([command for command, _, _ in MISTAKES])
    before = sorted(path.name for path in folder.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, commands],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    for (command, code, words), found in zip(MISTAKES, json.loads(done.stdout), strict=True):
        assert found[0] == code, (command, found)
        assert words in found[1], (command, found)
        assert "Traceback" not in found[1], command
        assert not found[2], command
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_an_output_that_exists_is_refused_before_decoding(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepstd.codec.codec.Codec.decode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(OutputExistsError):
        api.decompress(folder / "scan.dstd", folder / "scan.npy")
    with pytest.raises(InputError, match="not the same scan"):
        api.verify(folder / "scan.dstd", against=folder / "other.npy")


def nifti(path: Path, shape: tuple[int, ...], dtype: str, order: str, kind: str) -> None:
    maker = nib.Nifti1Image if kind == "nifti1" else nib.Nifti2Image
    header = maker.header_class(endianness=order)
    header["descrip"] = b"made up"
    image = maker(np.zeros(shape, dtype), np.diag([0.9, 1.1, 2.5, 1.0]), header)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"who it is" * 9))
    nib.save(image, path)


@pytest.mark.parametrize("kind", ["nifti1", "nifti2"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_the_outline_of_nifti_is_what_is_read(
    tmp_path: Path, kind: str, order: str, name: str
) -> None:
    for shape, dtype in (((5, 4, 3), "i2"), ((7, 6, 1, 2), "f4"), ((3, 9), "u1")):
        nifti(tmp_path / name, shape, dtype, order, kind)
        found = io.outline(tmp_path / name)
        assert found is not None
        for metadata in Metadata:
            volume = io.read(tmp_path / name, metadata=metadata)
            assert (found.shape, found.dtype) == (volume.shape, volume.voxels.dtype)
            least = least_bytes(volume.source, volume.shape, volume.voxels.dtype)
            assert min(least_bytes(h, found.shape, found.dtype) for h in found.headers) <= least


def test_the_outline_of_other_formats_is_what_is_read(tmp_path: Path, phantom: Phantom) -> None:
    from PIL import Image

    voxels = phantom((8, 7, 6))
    np.save(tmp_path / "a.npy", voxels)
    Image.fromarray(voxels[..., 0].astype("u1")).save(tmp_path / "a.png")
    Image.fromarray(voxels[..., 0].astype("u2")).save(tmp_path / "b.png")
    names = ["a.npy", "a.png", "b.png"]
    if shutil.which("python") and _has("SimpleITK"):
        for name in ("a.nrrd", "a.mha"):
            io.write(io.read(tmp_path / "a.npy"), tmp_path / name)
            names.append(name)
    for name in names:
        found, volume = io.outline(tmp_path / name), io.read(tmp_path / name)
        assert found is not None, name
        assert (found.shape, found.dtype) == (volume.shape, volume.voxels.dtype), name
        assert found.headers[0].format == volume.source.format


def _has(module: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(module) is not None


@pytest.mark.parametrize(
    "data", [b"", b"text", b"\x1f\x8b\x08broken", b"\x5c\x01\0\0" + bytes(500)]
)
def test_there_is_no_outline_of_what_cannot_be_read(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    assert io.outline(tmp_path / "a") is None
    assert io.outline(tmp_path) is None
    os.mkfifo(tmp_path / "pipe")
    assert io.outline(tmp_path / "pipe") is None


def test_a_size_is_refused_only_below_the_least_bytes(tmp_path: Path) -> None:
    nifti(tmp_path / "a.nii", (20, 20, 20), "i2", "<", "nifti1")
    found = io.outline(tmp_path / "a.nii")
    assert found is not None
    least = min(least_bytes(header, found.shape, found.dtype) for header in found.headers)
    asked = found.headers, found.shape, found.dtype
    preflight.check_rate(Target(max_bytes=least), *asked)
    with pytest.raises(RateError, match=rf"at least {least} bytes .*--ratio"):
        preflight.check_rate(Target(max_bytes=least - 1), *asked)


@pytest.mark.parametrize(
    ("free", "devices", "gpu", "refused"),
    [
        (None, "cpu", False, False),
        (39e9, "cpu", False, True),
        (41e9, "cpu", False, False),
        (39e9, "auto", False, True),
        (39e9, "auto", True, False),
        (39e9, "cuda:0,cuda:1", False, False),
        (7e9, "cuda", False, True),
    ],
)
def test_memory(
    monkeypatch: pytest.MonkeyPatch,
    free: float | None,
    devices: str,
    gpu: bool,
    refused: bool,
) -> None:
    monkeypatch.setattr(preflight, "free_memory", lambda: None if free is None else int(free))
    monkeypatch.setattr(preflight, "_GPU_DRIVERS", ("/dev/null",) if gpu else ())
    request = "a.nii", 10**9, preflight.COMPRESSING, devices
    if not refused:
        preflight.check_memory(*request)
        return
    with pytest.raises(InputError, match=r"a\.nii: compressing its 1,000,000,000 voxels .* GiB"):
        preflight.check_memory(*request)


def test_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 0, 1000))
    preflight.check_space(str(tmp_path / "a.nii"), 1000)
    preflight.check_space("https://example.org/a.nii", 1001)
    preflight.check_space(io.STREAM, 1001)
    with pytest.raises(InputError, match=r"a\.nii: takes 1,001 bytes, and 1,000 are free in"):
        preflight.check_space(str(tmp_path / "a.nii"), 1001)


@pytest.mark.parametrize("names", ["auto", "cpu", "cuda", "cuda:1", "cpu,cpu", "cuda:0, cuda:1"])
def test_devices_by_their_names(names: str) -> None:
    preflight.check_devices(names)
    for wrong in ("gpu", f"{names},tpu", "cuda:x", ""):
        with pytest.raises(DeviceError, match="use auto, cpu, cuda or cuda:N"):
            preflight.check_devices(wrong)


@pytest.mark.parametrize("name", ["a.dstd", "a", "a.bin", "a.nii.gz.dstd", "-", "s3://b/a.dstd"])
def test_names_of_compressed_scans(name: str, tmp_path: Path) -> None:
    preflight.check_compressed_name(str(tmp_path / name))
    assert default_output([str(tmp_path / "a.nii.gz")]) == str(tmp_path / "a.dstd")
    for wrong in ("a.NII.gz", "a.dcm", "s3://b/a.nrrd", "a.zip"):
        with pytest.raises(InputError, match=r"a\.dstd$"):
            preflight.check_compressed_name(wrong)


@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_memory_is_checked_before_arrays_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    place = tmp_path / f"a.{kind}"
    if kind == "npz":
        np.savez_compressed(place, x=np.zeros((50, 60, 70)), y=np.zeros((2, 3)))
    else:
        h5py = pytest.importorskip("h5py", reason="pip install 'deepstd[hdf5]'")
        with h5py.File(place, "w") as file:
            file.create_dataset("x", data=np.zeros((50, 60, 70)), compression="gzip")
    monkeypatch.setattr(preflight, "free_memory", lambda: 1 << 20)
    monkeypatch.setattr(io, "read", None)
    with pytest.raises(InputError, match=r"::x: compressing its 210,000 voxels takes at least"):
        api.compress(f"{place}::x", tmp_path / "a.dstd", ratio=8)


def test_the_default_output_of_an_array_in_a_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3)))
    for name, expected in (("x", "a_x"), ("/left/x y", "a_left-x-y"), ("../x", "a_..-x")):
        assert default_output([f"{tmp_path / 'a.npz'}::{name}"]) == str(
            tmp_path / f"{expected}.dstd"
        )
