"""MINC 1 and 2: values and places as nibabel reads them, axes in the order of NIfTI."""

from __future__ import annotations

import warnings
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nibabel.externals.netcdf import netcdf_file
from nibabel.loadsave import load

from deepstd import api, io
from deepstd.errors import DeepSTDError, InputError, UnsupportedFormatError

AXES = ("zspace", "yspace", "xspace")
STEPS = {"xspace": -1.5, "yspace": 2.0, "zspace": 3.0, "time": 2.5}
STARTS = {"xspace": 40.0, "yspace": -30.0, "zspace": 7.0, "time": 0.5}
COSINES = {"xspace": (0.8, 0.6, 0.0), "yspace": (-0.6, 0.8, 0.0), "zspace": (0.0, 0.0, 1.0)}
LENGTHS = {"xspace": 7, "yspace": 6, "zspace": 5, "time": 2}
SHIPPED = sorted(str(one) for one in resources.files("nibabel").joinpath("tests", "data").iterdir()
                 if one.name.endswith(".mnc"))  # fmt: skip


def stored_of(names: tuple[str, ...], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(10, 120, [LENGTHS[name] for name in names]).astype(dtype)


def ends_of(stored: np.ndarray, scaled: int, differ: bool) -> tuple[np.ndarray, np.ndarray]:
    shape = stored.shape[:scaled]
    rng = np.random.default_rng(1)
    low, high = np.full(shape, -3.0), np.full(shape, 250.5)
    return (low - rng.random(shape), high + rng.random(shape)) if differ else (low, high)


def minc1(
    path: Path, names: tuple[str, ...] = AXES, dtype: str = "u1", scaled: int = 1,
    differ: bool = True, spacing: bytes = b"regular__", valid: Any = (0, 200),
) -> np.ndarray:  # fmt: skip
    stored = stored_of(names, dtype)
    low, high = ends_of(stored, scaled, differ)
    with netcdf_file(str(path), "w") as file:
        for name in names:
            file.createDimension(name, LENGTHS.get(name, 3))
            axis = file.createVariable(name, "i", ())
            axis.spacing, axis.step, axis.start = spacing, STEPS[name], STARTS[name]
            if name in COSINES:
                axis.direction_cosines = np.array(COSINES[name])
        kind = np.dtype(dtype)
        code = {"u1": "b", "i1": "b", "u2": "h", "i2": "h", "f4": "f", "i4": "i"}[dtype]
        image = file.createVariable("image", code, names)
        image.signtype = b"unsigned" if kind.kind == "u" else b"signed__"
        if valid is not None:
            image.valid_range = np.array(valid, np.float64)
        image[:] = stored.astype(kind).view(kind.str.replace("u", "i"))
        for name, values in (("image-min", low), ("image-max", high)):
            end = file.createVariable(name, "d", names[:scaled])
            end.data[...] = values
    return stored


def minc2(
    path: Path, names: tuple[str, ...] = AXES, dtype: str = "u1", scaled: int = 1,
    differ: bool = True, spacing: bytes = b"regular__", valid: Any = (0, 200),
    spell: Any = np.bytes_,
) -> np.ndarray:  # fmt: skip
    h5py: Any = pytest.importorskip("h5py", reason="pip install 'deepstd[hdf5]'")
    stored = stored_of(names, dtype)
    low, high = ends_of(stored, scaled, differ)
    with h5py.File(path, "w") as file:
        root = file.create_group("minc-2.0")
        for name in names:
            axis = root.create_dataset(f"dimensions/{name}", (), "i4")
            axis.attrs.update(spacing=spell(spacing), step=STEPS[name], start=STARTS[name])
            if name in COSINES:
                axis.attrs["direction_cosines"] = COSINES[name]
        image = root.create_dataset("image/0/image", data=stored, compression="gzip")
        image.attrs["dimorder"] = np.bytes_(",".join(names))
        if valid is not None:
            image.attrs["valid_range"] = np.array(valid, np.float64)
        for name, values in (("image-min", low), ("image-max", high)):
            end = root.create_dataset(f"image/0/{name}", data=values)
            if scaled:
                end.attrs["dimorder"] = np.bytes_(",".join(names[:scaled]))
    return stored


MAKERS = pytest.mark.parametrize("make", [minc1, minc2])


def as_nibabel(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Values (x, y, z[, time]) and affine by nibabel, for axes that are stored outermost first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image: Any = load(path)
        values = np.asarray(image.dataobj)
    spatial = values.ndim - 3
    order = [*range(values.ndim - 1, spatial - 1, -1), *range(spatial)]
    return values.transpose(order), image.affine[:, [2, 1, 0, 3]]


def assert_as_nibabel(path: str | Path) -> io.Outline | None:
    values, affine = as_nibabel(path)
    volume = io.read(path)
    assert volume.affine is not None
    np.testing.assert_allclose(io.real_world(volume).voxels, values, rtol=2e-6, atol=1e-5)
    np.testing.assert_allclose(volume.affine, affine, rtol=1e-5, atol=1e-5)
    assert io.declared(path) == (volume.shape, volume.voxels.dtype)
    return io.outline(Path(path))


@MAKERS
@pytest.mark.parametrize("names", [AXES, ("yspace", "xspace", "zspace"), ("time", *AXES)])
@pytest.mark.parametrize("scaled", [0, 1, 2])
def test_values_and_places(tmp_path: Path, make: Any, names: tuple[str, ...], scaled: int) -> None:
    make(tmp_path / "a.mnc", names, scaled=scaled)
    assert_as_nibabel(tmp_path / "a.mnc")


@MAKERS
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4"])
def test_types(tmp_path: Path, make: Any, dtype: str) -> None:
    stored = make(tmp_path / "a.mnc", dtype=dtype, valid=None)
    assert_as_nibabel(tmp_path / "a.mnc")
    volume = io.read(tmp_path / "a.mnc")
    assert volume.voxels.dtype == np.dtype({"i4": "f8"}.get(dtype, "f4"))
    assert volume.nbytes == stored.nbytes
    make(tmp_path / "b.mnc", dtype=dtype, differ=False)
    assert_as_nibabel(tmp_path / "b.mnc")
    volume = io.read(tmp_path / "b.mnc")
    np.testing.assert_array_equal(volume.voxels, stored.transpose(2, 1, 0))
    assert volume.voxels.dtype == np.dtype(dtype)


@MAKERS
def test_places_by_hand(tmp_path: Path, make: Any) -> None:
    """World coordinates are sums of direction cosines: x to the right, y forward, z up."""
    make(tmp_path / "a.mnc")
    volume = io.read(tmp_path / "a.mnc")
    assert volume.shape == (7, 6, 5)
    index = {"xspace": 4, "yspace": 2, "zspace": 3}
    expected = sum(
        np.array(COSINES[name]) * (STARTS[name] + STEPS[name] * index[name]) for name in index
    )
    assert volume.affine is not None
    np.testing.assert_allclose((volume.affine @ [4, 2, 3, 1])[:3], expected, rtol=1e-6)


@MAKERS
def test_frames(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "a.mnc", ("time", *AXES), scaled=1)
    volume = io.read(tmp_path / "a.mnc")
    assert volume.shape == (7, 6, 5, 2)
    io.write(volume, tmp_path / "b.nii")
    image: Any = load(tmp_path / "b.nii")
    assert image.header.get_zooms()[3] == pytest.approx(2.5)


@MAKERS
def test_values_outside_of_the_valid_range(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "a.mnc", valid=(20, 100))
    assert_as_nibabel(tmp_path / "a.mnc")
    assert any("outside of the valid range" in note for note in io.read(tmp_path / "a.mnc").notes)


@MAKERS
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"spacing": b"irregular"}, "its grid is not supported .Irregular"),
        ({"names": ("yspace", "xspace")}, "of axes yspace, xspace is not supported"),
        ({"names": ("zspace", "yspace", "xspace", "time"), "scaled": 0, "valid": (9, 3)}, "valid"),
        ({"valid": (-5, 300)}, "its valid range|Valid range"),
    ],
)
def test_refused(tmp_path: Path, make: Any, options: dict[str, Any], words: str) -> None:
    make(tmp_path / "a.mnc", **options)
    with pytest.raises(DeepSTDError, match=rf"a\.mnc: .*({words})"):
        io.read(tmp_path / "a.mnc")


@pytest.mark.parametrize("spell", [np.bytes_, bytes.decode])
def test_an_irregular_grid_however_it_is_spelt(tmp_path: Path, spell: Any) -> None:
    """nibabel passes over texts of variable length."""
    minc2(tmp_path / "a.mnc", spacing=b"irregular", spell=spell)
    with pytest.raises(UnsupportedFormatError, match="its grid is not supported"):
        io.read(tmp_path / "a.mnc")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: Path(path).name)
def test_files_of_nibabel(path: str) -> None:
    if Path(path).read_bytes()[:4] == b"\x89HDF":
        pytest.importorskip("h5py", reason="pip install 'deepstd[hdf5]'")
    assert_as_nibabel(path)


def test_netcdf_of_another_kind(tmp_path: Path) -> None:
    with netcdf_file(str(tmp_path / "a.nc"), "w") as file:
        file.createDimension("x", 3)
        file.createVariable("image", "i", ("x",))[:] = 1
    with pytest.raises(UnsupportedFormatError, match="no MINC scan"):
        io.read(tmp_path / "a.nc")


def test_colours_are_refused(tmp_path: Path) -> None:
    names = (*AXES, "vector_dimension")
    for known in (STEPS, STARTS, LENGTHS):
        known.setdefault("vector_dimension", 3)
    minc1(tmp_path / "a.mnc", names)
    with pytest.raises(UnsupportedFormatError, match=r"axes .*vector_dimension is not supported"):
        io.read(tmp_path / "a.mnc")


@MAKERS
def test_damage(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "a.mnc")
    data = (tmp_path / "a.mnc").read_bytes()
    for length in range(4, len(data) - 1, len(data) // 25):
        (tmp_path / "a.mnc").write_bytes(data[:length])
        if len(data) - length < 80:  # netCDF has no length: a cut tail shows in the values alone
            continue
        with pytest.raises(DeepSTDError, match=r"a\.mnc: ") as caught:
            io.read(tmp_path / "a.mnc")
        assert "\n" not in str(caught.value)


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    minc2(tmp_path / "a.mnc")
    minc2(tmp_path / "b.mnc")
    import h5py

    for name in ("image/0/image", "image/0/image-min", "dimensions/xspace", "image/0"):
        minc2(tmp_path / "a.mnc")
        with h5py.File(tmp_path / "a.mnc", "a") as file:
            del file[f"minc-2.0/{name}"]
            file[f"minc-2.0/{name}"] = h5py.ExternalLink("b.mnc", f"/minc-2.0/{name}")
        with pytest.raises(UnsupportedFormatError, match="in another file"):
            io.read(tmp_path / "a.mnc")


def test_parts_that_are_missing(tmp_path: Path) -> None:
    minc2(tmp_path / "a.mnc")
    import h5py

    for name in ("image/0/image", "image/0/image-max", "dimensions/yspace", "image"):
        minc2(tmp_path / "a.mnc")
        with h5py.File(tmp_path / "a.mnc", "a") as file:
            del file[f"minc-2.0/{name}"]
        with pytest.raises(InputError, match=r"a\.mnc: .*(missing|not described)"):
            io.read(tmp_path / "a.mnc")


@MAKERS
def test_lossless_and_back(tmp_path: Path, make: Any) -> None:
    stored = make(tmp_path / "a.mnc", dtype="i2", differ=False)
    api.compress(tmp_path / "a.mnc", tmp_path / "a.dstd", lossless=True)
    assert api.verify(tmp_path / "a.dstd", against=tmp_path / "a.mnc").as_stated
    api.decompress(tmp_path / "a.dstd", tmp_path / "b.nii.gz")
    image: Any = load(tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(image.dataobj.get_unscaled(), stored.transpose(2, 1, 0))
    values, affine = as_nibabel(tmp_path / "a.mnc")
    np.testing.assert_allclose(np.asarray(image.dataobj), values, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(image.affine, affine, rtol=1e-5, atol=1e-5)
