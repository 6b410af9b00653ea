"""fastMRI: images and k-space give the same scan, with the voxel size of the ISMRMRD header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.fft

from deepstd import io
from deepstd.errors import DeepSTDError, InputError, UnsupportedFormatError

h5py: Any = pytest.importorskip("h5py", reason="pip install 'deepstd[hdf5]'")

SLICES, COILS, ROWS, COLUMNS = 3, 4, 64, 40  # of k-space
SIZE = 32, 30  # of the images
HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
  <!-- a comment -->
  <encoding>
    <encodedSpace>
      <matrixSize><x>64</x><y>40</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>{0}</x><y>{1}</y><z>4.5</z></fieldOfView_mm>
    </encodedSpace>
    <reconSpace>
      <matrixSize><x>32</x><y>30</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>16</x><y>22.5</y><z>4.5</z></fieldOfView_mm>
    </reconSpace>
    <trajectory>cartesian</trajectory>
  </encoding>
</ismrmrdHeader>"""
AGREES = HEADER.format(32, 30)  # 0.5 x 0.75 mm in both spaces


def coil_images() -> np.ndarray:
    rng = np.random.default_rng(0)
    smooth: Any = scipy.fft.ifft2(rng.normal(size=(SLICES, COILS, ROWS, COLUMNS)) ** 3)
    return (smooth * 1e-4).astype(np.complex64)


def kspace_of(images: np.ndarray) -> np.ndarray:
    """Centred, orthonormal transform of each image, by another library than is tested."""
    axes = -2, -1
    shifted = scipy.fft.ifftshift(images, axes=axes)
    return scipy.fft.fftshift(scipy.fft.fft2(shifted, norm="ortho"), axes=axes)


def rss_of(images: np.ndarray) -> np.ndarray:
    """Root of the sum of squares of the coils, cropped about the centre."""
    sums = np.sqrt((np.abs(images.astype(complex)) ** 2).sum(1))
    return sums[:, 16:48, 5:35].astype(np.float32)


def save(path: Path, header: Any = AGREES, **arrays: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
        if header is not None:
            file["ismrmrd_header"] = header
        file.attrs["patient_id"] = "0123"
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    images = coil_images()
    return save(
        tmp_path / "file1000.h5",
        kspace=kspace_of(images),
        reconstruction_rss=rss_of(images),
        reconstruction_esc=rss_of(images) * 2,
    )


@pytest.mark.parametrize("name", ["", "::reconstruction_rss", "::/reconstruction_rss"])
def test_images(path: Path, name: str) -> None:
    place = f"{path}{name}"
    volume = io.read(place)
    expected = rss_of(coil_images())
    np.testing.assert_array_equal(volume.voxels, expected.transpose(2, 1, 0))
    assert volume.voxels.dtype == np.float32
    assert volume.spacing == pytest.approx((0.75, 0.5, 4.5))  # y, x, z of the header
    assert volume.affine is not None
    np.testing.assert_allclose(volume.affine, np.diag([-0.75, -0.5, 4.5, 1]))
    assert volume.source.format == "nifti1"
    assert any("::reconstruction_esc, ::kspace" in note for note in volume.notes)
    assert not any("0123" in note for note in volume.notes)
    assert io.declared(place) == (volume.shape, volume.voxels.dtype)
    found = io.outline(Path(place))
    assert found is not None
    assert found.shape == volume.shape


def test_the_other_images(path: Path) -> None:
    volume = io.read(f"{path}::reconstruction_esc")
    np.testing.assert_array_equal(volume.voxels, 2 * io.read(path).voxels)
    with h5py.File(path, "a") as file:
        del file["reconstruction_rss"]
    np.testing.assert_array_equal(io.read(path).voxels, volume.voxels)


def test_kspace_gives_the_images(path: Path) -> None:
    images, made = io.read(path), io.read(f"{path}::kspace")
    np.testing.assert_allclose(made.voxels, images.voxels, rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(made.affine, images.affine)
    assert made.voxels.dtype == np.float32
    assert any("k-space of 4 coils" in note for note in made.notes)
    assert not any("undersampled" in note for note in made.notes)
    assert io.declared(f"{path}::kspace") == (made.shape, made.voxels.dtype)


def test_kspace_alone(tmp_path: Path) -> None:
    images = coil_images()
    path = save(tmp_path / "a.h5", kspace=kspace_of(images), mask=np.ones(COLUMNS, bool))
    volume = io.read(path)
    np.testing.assert_allclose(volume.voxels.T, rss_of(images), rtol=1e-5, atol=1e-9)
    assert any("undersampled" in note for note in volume.notes)


def test_kspace_of_one_coil(tmp_path: Path) -> None:
    images = coil_images()[:, :1]
    path = save(tmp_path / "a.h5", kspace=kspace_of(images)[:, 0].astype(np.complex128))
    volume = io.read(path)
    np.testing.assert_allclose(volume.voxels.T, rss_of(images), rtol=1e-5, atol=1e-9)
    assert volume.voxels.dtype == np.float64


def test_an_odd_matrix(tmp_path: Path) -> None:
    """The centre of an odd axis is the same before and after the transform."""
    images = coil_images()[..., 1:, 1:]
    path = save(tmp_path / "a.h5", kspace=kspace_of(images))
    expected = np.sqrt((np.abs(images) ** 2).sum(1))[:, 15:47, 4:34]
    np.testing.assert_allclose(io.read(path).voxels.T, expected, rtol=1e-4, atol=1e-8)


def test_pixel_sizes(tmp_path: Path) -> None:
    """A pixel size is told only where the header states it for such images."""
    images = rss_of(coil_images())
    differs = HEADER.format(64, 64)
    assert io.read(save(tmp_path / "a.h5", differs, reconstruction_rss=images)).spacing == (
        pytest.approx((0.75, 0.5, 4.5))
    )
    cropped = images[:, 2:-2, 2:-2]
    volume = io.read(save(tmp_path / "b.h5", AGREES, reconstruction_rss=cropped))
    assert volume.spacing == pytest.approx((0.75, 0.5, 4.5))
    volume = io.read(save(tmp_path / "c.h5", differs, reconstruction_rss=cropped))
    assert volume.affine is None
    assert any("does not tell the voxel size" in note for note in volume.notes)
    np.testing.assert_array_equal(volume.voxels.T, cropped)
    whole = kspace_of(coil_images())
    volume = io.read(save(tmp_path / "d.h5", differs, kspace=whole))
    assert volume.spacing == pytest.approx((1.6, 1, 4.5))


@pytest.mark.parametrize("text", ["<a/>", AGREES.replace("4.5", "0"), AGREES.replace("x>", "q>"),
                                  AGREES.replace("22.5", "nan")])  # fmt: skip
def test_headers_that_tell_nothing(tmp_path: Path, text: str) -> None:
    images = rss_of(coil_images())
    volume = io.read(save(tmp_path / "a.h5", text, reconstruction_rss=images))
    assert volume.affine is None
    np.testing.assert_array_equal(volume.voxels.T, images)


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 9)).replace("&a0;", "&a;")
    + "]><a>&a8;</a>"
)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (BOMB, "declares a document type"),
        ("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "declares a document type"),
        (AGREES[:200], "no XML"),
        ("", "no XML"),
        ("<a>" + "x" * (1 << 20) + "</a>", "characters"),
        (np.ones((3, 4)), "no text"),
    ],
)
def test_hostile_headers(tmp_path: Path, header: Any, words: str) -> None:
    path = save(tmp_path / "a.h5", header, reconstruction_rss=rss_of(coil_images()))
    with pytest.raises(InputError, match=rf"a\.h5: .*{words}") as caught:
        io.read(path)
    assert "\n" not in str(caught.value)


def test_values_of_another_kind(tmp_path: Path) -> None:
    images = rss_of(coil_images())
    for arrays, words in (
        ({"reconstruction_rss": images[0]}, "reconstruction_rss of shape"),
        ({"reconstruction_rss": images + 1j}, "complex64"),
        ({"kspace": images}, "k-space of shape"),
    ):
        with pytest.raises(UnsupportedFormatError, match=words):
            io.read(save(tmp_path / "a.h5", **arrays))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ismrmrd_header"] = AGREES
        file.create_dataset("kspace", (1 << 20, 64, 512, 512), "c8", chunks=(1, 1, 64, 64))
    with pytest.raises(DeepSTDError, match="never written"):
        io.read(tmp_path / "a.h5")


def test_without_a_header_it_is_any_dataset(tmp_path: Path) -> None:
    images = rss_of(coil_images())
    volume = io.read(save(tmp_path / "a.h5", None, reconstruction_rss=images))
    np.testing.assert_array_equal(volume.voxels, images)
    assert volume.affine is None


def test_a_mask_beside_is_a_dataset(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["map"] = np.ones((5, 6), np.uint8)
    assert io.read(f"{path}::map").shape == (5, 6)
