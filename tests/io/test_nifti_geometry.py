"""Where NIfTI voxels lie: as nibabel and SimpleITK read it, and told where they disagree."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from itk_files import by_itk, by_us, sitk
from nibabel.loadsave import load
from nibabel.nifti1 import Nifti1Header, data_type_codes
from nibabel.nifti2 import Nifti2Header

from deepstd import io
from deepstd.errors import InputError
from deepstd.volume import Volume

SHEAR = [[1, 0.2, 0, 1], [0, 1.5, 0.5, 2], [0, 0, 2, 3]]
STRAIGHT = [[1, 0, 0, 1], [0, 1.5, 0, 2], [0, 0, 2, 3]]
THRICE = np.diag([3, 3, 3, 1])[:3]
NAN = np.full((3, 4), np.nan)


def put(
    path: Path, shape: tuple[int, ...] = (3, 4, 5), kind: str = "nifti1", **fields: Any
) -> Path:
    """A file with a qform unless the fields say otherwise; "sform" sets three rows."""
    header = (Nifti1Header if kind == "nifti1" else Nifti2Header)(
        endianness=fields.pop("order", "<")
    )
    dtype = np.dtype(fields.pop("dtype", "i2"))
    header["datatype"] = data_type_codes[dtype]
    header["bitpix"] = 8 * dtype.itemsize
    header["dim"] = [len(shape), *shape, *[1] * (7 - len(shape))]
    header["pixdim"][:4] = (1, 1, 1.5, 2)
    header["xyzt_units"], header["qform_code"] = 2, 1
    header["quatern_b"], header["quatern_c"], header["quatern_d"] = 0.1, 0.2, 0.3
    header["qoffset_x"], header["qoffset_y"], header["qoffset_z"] = 10, 20, 30
    for name, row in zip("xyz", fields.pop("sform", np.zeros((3, 4))), strict=True):
        header[f"srow_{name}"] = row
    for index, value in fields.pop("pixdim", {}).items():
        header["pixdim"][index] = value
    header["vox_offset"] = header.sizeof_hdr + 4
    for name, value in fields.items():
        header[name] = value
    voxels = np.arange(max(int(np.prod([max(n, 1) for n in shape])), 1)) % 100
    stored = voxels.astype(dtype.newbyteorder(header.endianness))
    path.write_bytes(header.binaryblock + bytes(4) + stored.tobytes())
    return path


def corners_of(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return by_us(Volume(np.zeros(shape, "u1"), affine))


def nibabels(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """World coordinates of the corners as nibabel has them; None where it refuses the header."""
    try:
        image: Any = load(path)
        return corners_of(image.affine, shape)
    except Exception:
        return None


def itks(path: Path) -> np.ndarray | None:
    try:
        return by_itk(path)[1]
    except Exception:
        return None


def close(one: np.ndarray | None, other: np.ndarray) -> bool:
    if one is None or not np.isfinite(one).all():
        return False
    # NIfTI's own library takes the first part of a quaternion for 0 below 3e-4, nibabel does not.
    return np.allclose(one, other, rtol=1e-3, atol=1e-3 * max(np.abs(other).max(), 1e-2))


def rotations() -> st.SearchStrategy[np.ndarray]:
    """Rotations by unit quaternions (a, b, c, d) with a ≥ 0."""
    component = st.floats(-1, 1, width=32)

    def unit(values: tuple[float, ...]) -> np.ndarray:
        q = np.array(values)
        length = np.linalg.norm(q)
        q = q / length if length > 0.1 else np.array([1.0, 0, 0, 0])
        return q if q[0] >= 0 else -q

    return st.tuples(component, component, component, component).map(unit)


def matrix(q: np.ndarray) -> np.ndarray:
    a, b, c, d = q
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )


@st.composite
def headers(draw: st.DrawFn) -> dict[str, Any]:
    """Fields of valid headers, and of some that need the standard's defaults and repairs."""
    axes = draw(st.integers(2, 4))
    shape = tuple(draw(st.integers(1, 5)) for _ in range(axes))
    if axes == 4 and draw(st.booleans()):
        shape = (*shape[:3], draw(st.sampled_from([0, 1])))
    sizes = [draw(st.sampled_from([0.5, 1, 1.25, 2.5])) for _ in range(3)]
    q, first = draw(rotations()), [draw(st.integers(-50, 50)) for _ in range(3)]
    qfac = draw(st.sampled_from([1, -1, 0]))
    fields: dict[str, Any] = {
        "kind": draw(st.sampled_from(["nifti1", "nifti1", "nifti2"])),
        "order": draw(st.sampled_from("<>")),
        "dtype": draw(st.sampled_from(["u1", "i1", "u2", "i2", "i4", "u4", "f4", "f8", "i8"])),
        "shape": shape,
        "qform_code": draw(st.sampled_from([0, 1, 1, 2])),
        "sform_code": draw(st.sampled_from([0, 0, 1, 2, 4])),
        "xyzt_units": draw(st.sampled_from([2, 2, 10, 0, 1, 3])),
        "scl_slope": draw(st.sampled_from([0, 1, 2.5, -0.5, np.nan])),
        "scl_inter": draw(st.sampled_from([0, -1024])),
        "pixdim": {0: qfac, 1: sizes[0], 2: sizes[1], 3: sizes[2]},
        "quatern_b": q[1],
        "quatern_c": q[2],
        "quatern_d": q[3],
        "qoffset_x": first[0],
        "qoffset_y": first[1],
        "qoffset_z": first[2],
    }
    directions = matrix(q) * sizes * [1, 1, -1 if qfac < 0 else 1]
    fields["sform"] = np.hstack([directions, np.array(first)[:, None]])
    oddity = draw(st.sampled_from(["", "", "", "moved", "sheared", "singular", "size", "length"]))
    if oddity == "moved":
        fields["sform"][:, 3] += 3
    elif oddity == "sheared":
        fields["sform"][:, 1] += 0.4 * fields["sform"][:, 0]
    elif oddity == "singular":
        fields["sform"][:] = 0
    elif oddity == "size":
        fields["pixdim"][draw(st.integers(1, 3))] = draw(st.sampled_from([0, -1.5]))
    elif oddity == "length":
        fields["quatern_b"] = 1.5
    return fields


@settings(deadline=None, max_examples=150)
@given(fields=headers())
def test_headers_are_read_as_nibabel_and_simpleitk_do_or_told(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("geometry")
    path = put(folder / "scan.nii", **fields)
    volume = io.read(path)
    ours, shape = by_us(volume), volume.shape
    told = [note for note in volume.notes if "slope" not in note and "length 0" not in note]
    nibabel, itk = nibabels(path, shape), itks(path)
    if not told:
        assert close(nibabel, ours)
        # This SimpleITK reads no NIfTI-2.
        assert close(itk, ours) or fields["kind"] == "nifti2"
    if len(told) == 1 and "as nibabel" in told[0]:
        assert close(nibabel, ours)
    if len(told) == 1 and "as SimpleITK" in told[0] and fields["kind"] == "nifti1":
        assert close(itk, ours)
    io.write(volume, folder / "back.nii")
    assert (folder / "back.nii").read_bytes() == path.read_bytes()
    converted = folder / f"scan{'.nrrd' if shape[0] % 2 else '.mha'}"
    io.write(volume, converted)
    voxels, corners = by_itk(converted)
    if len(shape) == 2 and voxels.ndim == 3:  # an image that is not in the plane z = 0
        assert volume.affine is not None
        ours = corners_of(volume.affine, (*shape, 1))
    assert close(corners, ours)
    slope, intercept = fields["scl_slope"], fields["scl_inter"]
    real = volume.voxels.astype("f8")
    if slope and np.isfinite(slope):
        real = real * slope + intercept
    np.testing.assert_allclose(np.squeeze(voxels), np.squeeze(real), rtol=1e-6)
    if fields["kind"] == "nifti1" and itk is not None and not np.isnan(itk).any():
        size = sitk.ReadImage(str(path)).GetSize()
        assert voxels.shape == size or len(shape) == 2


@pytest.mark.parametrize(
    ("fields", "who", "words"),
    [
        ({}, "both", None),
        ({"pixdim": {0: 0}}, "both", None),
        ({"pixdim": {0: -1}}, "both", None),
        ({"pixdim": {0: -0.5}}, "itk", "pixdim\\[0\\].*by its sign"),
        ({"pixdim": {0: np.nan}}, "both", None),
        ({"pixdim": {2: -1.5}}, "nibabel", "negative: read without"),
        ({"pixdim": {2: 0}}, "both", "sizes as 1"),
        ({"pixdim": {2: np.nan}}, "itk", "sizes as 1"),
        ({"quatern_b": 3}, "itk", "quaternion .* length of 3"),
        ({"quatern_b": 1.00005, "quatern_c": 0, "quatern_d": 0}, "itk", "quaternion"),
        ({"quatern_b": np.nan}, "itk", "not finite"),
        ({"qoffset_x": np.inf}, "itk", "not finite"),
        ({"qform_code": 0}, "itk", "no orientation"),
        ({"qform_code": 0, "pixdim": {1: -1}}, "itk", "no orientation"),
        ({"qform_code": -1}, "itk", "no orientation"),
        ({"sform_code": 1, "sform": STRAIGHT, "qform_code": 0}, "both", None),
        ({"sform_code": 1, "sform": STRAIGHT}, "nibabel", "sform and qform .* differ"),
        ({"sform_code": 2, "sform": STRAIGHT}, "nibabel", "sform and qform .* differ"),
        ({"sform_code": 2, "sform": THRICE, "qform_code": 0}, "nibabel", "voxel sizes of sform"),
        ({"sform_code": 1, "sform": SHEAR}, "nibabel", "differ"),
        ({"sform_code": 1, "sform": SHEAR, "qform_code": 0}, "nibabel", "right angles.*nrrd"),
        ({"sform_code": 1}, "itk", "spans no space"),
        ({"sform_code": 1, "sform": NAN}, "qform", "spans no space"),
        ({"sform_code": 1, "qform_code": 0}, "sizes", "no orientation"),
        ({"xyzt_units": 1}, "itk", "metres"),
        ({"xyzt_units": 3}, "itk", "micrometres"),
        ({"shape": (3, 4)}, "nibabel", "plane z = 0"),
        ({"shape": (3, 4, 5, 0)}, "both", "length 0"),
        ({"shape": (3, 4, 0, 5)}, "both", "length 0"),
    ],
)  # fmt: skip
def test_defaults_and_repairs(
    tmp_path: Path, fields: dict[str, Any], who: str, words: str | None
) -> None:
    path = put(tmp_path / "scan.nii", **fields)
    volume = io.read(path)
    readers = {"nibabel": nibabels(path, volume.shape), "itk": itks(path)}
    ours = by_us(volume)
    if who == "qform":  # neither reads it
        readers[who] = by_us(io.read(put(tmp_path / "qform.nii")))
    if who == "sizes":
        readers[who] = by_us(io.read(put(tmp_path / "sizes.nii", qform_code=0)))
    for name in ["nibabel", "itk"] if who == "both" else [who]:
        assert close(readers[name], ours), name
    assert not volume.notes if words is None else re.search(words, " ".join(volume.notes))
    io.write(volume, tmp_path / "back.nii")
    assert (tmp_path / "back.nii").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("slope", "intercept", "scale", "words"),
    [
        (0, 10, (1, 0), "slope is 0.*not applied"),
        (np.nan, 10, (1, 0), "slope is nan.*not applied"),
        (np.inf, 0, (1, 0), None),
        (0, np.nan, (1, 0), None),
        (2, np.nan, (2, 0), "intercept is not finite"),
        (-2, 1, (-2, 1), None),
    ],
)
def test_slopes(
    tmp_path: Path, slope: float, intercept: float, scale: tuple[float, float], words: str | None
) -> None:
    volume = io.read(put(tmp_path / "a.nii", scl_slope=slope, scl_inter=intercept))
    told = " ".join(volume.notes)
    assert told == "" if words is None else np.all([word in told for word in words.split(".*")])
    io.write(volume, tmp_path / "a.nrrd")
    real = volume.voxels.astype("f8") * scale[0] + scale[1]
    np.testing.assert_array_equal(io.read(tmp_path / "a.nrrd").voxels, real)


def test_empty_axes_hold_no_more_voxels(tmp_path: Path) -> None:
    """A length of 0 counts as 1 only where the file has no voxels for more."""
    path = put(tmp_path / "a.nii", shape=(3, 4, 5, 2))
    data = bytearray(path.read_bytes())
    data[48:50] = bytes(2)  # dim[4]
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.nii: more than the 120 bytes of voxels"):
        io.read(path)


@pytest.mark.parametrize(("units", "seconds"), [(10, 1), (18, 1e-3), (26, 1e-6), (2, 1)])
def test_frames_keep_their_distance(tmp_path: Path, units: int, seconds: float) -> None:
    path = put(tmp_path / "a.nii", shape=(3, 4, 5, 2), xyzt_units=units, pixdim={4: 2.5}, toffset=7)
    volume = io.read(path)
    expected = sitk.ReadImage(str(path))
    assert expected.GetSpacing()[3] == pytest.approx(2.5 * seconds)
    for suffix in (".nrrd", ".mha"):
        io.write(volume, tmp_path / f"a{suffix}")
        found = sitk.ReadImage(str(tmp_path / f"a{suffix}"))
        np.testing.assert_allclose(found.GetSpacing(), expected.GetSpacing(), rtol=1e-6)
        np.testing.assert_allclose(found.GetOrigin(), expected.GetOrigin(), rtol=1e-6)
        io.write(io.read(tmp_path / f"a{suffix}"), tmp_path / "b.nii", overwrite=True)
        back = sitk.ReadImage(str(tmp_path / "b.nii"))
        np.testing.assert_allclose(back.GetSpacing(), expected.GetSpacing(), rtol=1e-6)
        np.testing.assert_allclose(back.GetOrigin(), expected.GetOrigin(), rtol=1e-6)


def test_files_lay_scans_on_templates_as_before(tmp_path: Path) -> None:
    """What a header without orientation means in the file format does not follow its repairs."""
    stated: list[dict[str, Any]] = [
        {"qform_code": 0},
        {"qform_code": -1},
        {"sform_code": 1, "sform": SHEAR},
    ]
    for fields in stated:
        volume = io.read(put(tmp_path / "a.nii", **fields))
        header = Nifti1Header(volume.source.raw[:348], check=False)
        np.testing.assert_array_equal(
            np.asarray(io.placement_of(volume.source)), header.get_best_affine()
        )
    repaired: list[dict[str, Any]] = [
        {"pixdim": {0: 0}},
        {"quatern_b": 3},
        {"sform_code": 1},
    ]
    for fields in repaired:
        volume = io.read(put(tmp_path / "a.nii", **fields))
        np.testing.assert_array_equal(np.asarray(io.placement_of(volume.source)), volume.affine)


def test_previews_keep_their_place(tmp_path: Path) -> None:
    cases: list[dict[str, Any]] = [
        {},
        {"qform_code": 0},
        {"sform_code": 2, "sform": STRAIGHT},
    ]
    for fields in cases:
        volume = io.read(put(tmp_path / "a.nii", shape=(8, 8, 8), **fields))
        factors = (2, 2, 1)
        preview = io.subsampled(volume.source, (4, 4, 8), factors)
        affine = io.affine_of(preview)
        assert affine is not None
        assert volume.affine is not None
        for index in itertools.product((0, 3), repeat=3):
            there = affine @ [*index, 1]
            np.testing.assert_allclose(
                there, volume.affine @ [*np.multiply(index, factors), 1], atol=1e-5
            )


def test_label_maps_are_told(tmp_path: Path) -> None:
    assert io.read(put(tmp_path / "a.nii", intent_code=1002)).labels
    for name, dtype, told in (
        ("sub-1_dseg.nii", "i2", True),
        ("hippocampus_001_label.nii", "u1", True),
        ("aparc+aseg.nii", "i4", True),
        ("sub-1_dseg.nii", "f4", True),
        ("labelled-water.nii", "i2", False),
        ("sub-1_label-GM_probseg.nii", "i2", False),
        ("segway.nii", "u1", False),
    ):
        assert io.read(put(tmp_path / name, dtype=dtype)).labels == told, name
