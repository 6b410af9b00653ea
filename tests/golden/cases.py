"""The golden files of format version 4: each kind of file, of chunk and of scan at least once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepstd.io import Metadata
from deepstd.rate.bound import ErrorBound
from deepstd.rate.goal import QualityGoal
from deepstd.volume import Volume
from tests.golden.networks import SPACING, VOLUME
from tests.golden.scans import (
    OBLIQUE,
    as_array,
    as_dicom,
    as_dicom_of_own_scales,
    as_itk,
    as_nifti,
    as_png,
    as_scaled_nifti,
    body,
    disc,
    grey,
)

PLAIN, TEMPLATE, AUTOENCODER = "golden-plain", "golden-template", "golden-autoencoder"
# The bundles that came with the package when these files were made.
EMBEDDED = {
    "generic": "216783a7e2a6a332",
    "chest-xray": "bf3c553c5f84417e",
    "hippocampus-t1": "5ecf568700acaa4a",
}
_THICK = np.diag([1.0, 1.0, 5.0, 1.0])
_EVEN = np.diag([1.0, 1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Case:
    """How a golden file is made.

    Attributes:
        name: of the file.
        about: what it has that others have not.
        bundle: that it is coded with.
        scan: makes the scan in a folder and reads it.
        bpv, max_bytes: size asked for, one of them; none for the two next.
        lossless, bound, goal: for a lossless file, one of bounded error, or one of a quality.
        layered: with an exact part.
        effort, shape: as for `Codec.encode`.
        way: axis and octaves of slices, where it is coded slice by slice.
        previews: levels that are decoded from the beginning of the file alone.
        digest: of the bundle, where it is one of the package's.
    """

    name: str
    about: str
    bundle: str
    scan: Callable[[Path], Volume]
    bpv: float | None = None
    max_bytes: int | None = None
    lossless: bool = False
    bound: ErrorBound | None = None
    goal: QualityGoal | None = None
    layered: bool = False
    effort: str = "fast"
    shape: str = "auto"
    way: tuple[int, int] | None = None
    previews: tuple[int, ...] = ()
    digest: str = ""


def _holes() -> np.ndarray:
    voxels = grey((18, 16, 9), "f8", 20)
    voxels[3:6, 4:9, 2] = np.nan
    voxels[10, 10, 3], voxels[11, 10:13, 4] = np.inf, -np.inf
    return voxels


def _padded(value: int) -> np.ndarray:
    voxels = grey((64, 56, 7), "i2", 21, low=-1000, high=400)
    return np.where(disc(voxels.shape, 0.9), voxels, np.int16(value))


def _frames() -> np.ndarray:
    frames = [grey((16, 18, 10), "u2", 30, high=600 + 100 * t) for t in range(3)]
    return np.stack(frames, -1)


def _holes_in_a_frame() -> np.ndarray:
    frames = [grey((12, 10, 8), "f4", 31, low=-50) for _ in range(2)]
    frames[1][:, 8:, :3] = np.nan
    return np.stack(frames, -1)


def _types() -> list[Case]:
    cases = []
    for number, dtype in enumerate(
        ["|b1", "|u1", "|i1", "<u2", ">i2", "<u4", ">i4", "<u8", "<i8", "<f2", ">f4", "<f8"]
    ):
        kind = np.dtype(dtype)
        low = -100 if kind.kind in "if" else 0
        high = {1: 100, 2: 3000}.get(kind.itemsize, 200_000)
        scan = as_array(grey((11, 10, 7), dtype, 40 + number, low=low, high=high))
        name = f"type-{'big-' if dtype[0] == '>' else ''}{kind.name}"
        about = f"voxels of type {kind.name}, {'big' if dtype[0] == '>' else 'little'} endian"
        cases.append(Case(name, about, PLAIN, scan, max_bytes=300))
    return cases


def _embedded() -> list[Case]:
    def case(
        name: str,
        about: str,
        bundle: str,
        voxels: np.ndarray,
        bpv: float,
        affine: np.ndarray = _EVEN,
        **more: object,
    ) -> Case:
        scan = as_nifti(voxels, affine) if voxels.ndim == 3 else as_array(voxels)
        return Case(name, about, bundle, scan, bpv, digest=EMBEDDED[bundle], **more)  # pyright: ignore[reportArgumentType]

    crop = grey((32, 46, 34), "u1", 60, high=200)
    return [
        case("generic-volume", "volume", "generic", grey((30, 34, 20), "i2", 61), 0.8),
        case("generic-image", "image", "generic", grey((90, 70), "u2", 62), 0.8),
        case(
            "generic-slices", "slices between others", "generic",
            grey((40, 36, 9), "i2", 63), 0.6, way=(2, 2),
        ),
        case(
            "generic-slices-after", "key slices after others", "generic",
            grey((36, 32, 18), "i2", 64), 0.6, way=(2, 3),
        ),
        case("hippocampus-field", "field and template", "hippocampus-t1", crop, 0.5, shape="on"),
        case(
            "xray-field", "field and template of an image", "chest-xray",
            grey((120, 110), "u1", 65, high=200), 0.8, shape="on",
        ),
    ]  # fmt: skip


CASES = [
    Case(
        "volume-nifti1", "volume, oblique NIfTI-1 header, both kinds of preview", PLAIN,
        as_nifti(grey((26, 30, 22), "i2", 1), OBLIQUE), 1.0, effort="normal", previews=(1, 2),
    ),
    Case(
        "volume-nifti2", "float32 volume, NIfTI-2 header", PLAIN,
        as_nifti(grey((12, 13, 11), "f4", 2), OBLIQUE, two=True), 2.0,
    ),
    Case(
        "volume-nifti-big", "big-endian NIfTI-1, slope, comment, mirrored axes", PLAIN,
        as_scaled_nifti(grey((14, 13, 11), "i2", 24, low=-300, high=700)), 3.0,
    ),
    Case(
        "volume-nonnegative", "signed type without a negative value, much of it 0", PLAIN,
        as_array(np.maximum(grey((24, 22, 16), "i2", 25, low=-100, high=300), 0)), 0.6,
    ),
    Case(
        "volume-nrrd", "volume, NRRD header with a free key", PLAIN,
        as_itk(grey((14, 12, 10), "u2", 3), ".nrrd"), 3.0,
    ),
    Case(
        "volume-metaimage", "volume, MetaImage header with a free key", PLAIN,
        as_itk(grey((12, 14, 10), "i2", 4, low=-500, high=500), ".mha"), 3.0,
    ),
    Case(
        "volume-fine", "trellis, escapes, offsets to scales: 4 bits a voxel of much noise", PLAIN,
        as_array(np.rint(4000 * body((24, 20, 18), 5, noise=0.15)).astype("<i2")), 4.0,
    ),
    Case(
        "volume-exact", "every voxel restored exactly", PLAIN,
        as_array(grey((16, 15, 12), "u1", 6, high=40)), max_bytes=2600,
    ),
    Case(
        "volume-coarse", "next to nothing a voxel", PLAIN,
        as_array(grey((24, 24, 24), "u2", 7)), 0.2,
    ),
    Case(
        "volume-tiles", "several tiles in the finest level", PLAIN,
        as_array(grey((150, 14, 12), "u2", 8)), 0.6, previews=(1,),
    ),
    Case(
        "volume-thick", "thick voxels, split last", PLAIN,
        as_nifti(grey((24, 22, 9), "i2", 9), _THICK), 1.0, previews=(1, 2),
    ),
    Case(
        "image", "image, post-filter and Wiener filter, effort best", PLAIN,
        as_array(grey((72, 60), "u1", 10, high=220)), 1.0, effort="best", previews=(1,),
    ),
    Case("image-png", "PNG image of 16 bits", PLAIN, as_png(grey((40, 52), "u2", 11)), 1.5),
    Case(
        "image-tiles", "several tiles in the finest level of an image", PLAIN,
        as_array(grey((1200, 18), "u1", 12, high=220)), 0.8, previews=(1,),
    ),
    Case(
        "image-flat", "volume of one slice, coded as an image", PLAIN,
        as_nifti(grey((44, 38), "i2", 13)[:, None, :], _EVEN), 1.5,
    ),
    Case(
        "slices-alone", "slices coded alone", PLAIN,
        as_nifti(grey((30, 28, 6), "i2", 14), _THICK), 1.0, way=(2, 0), previews=(1,),
    ),
    Case(
        "slices-between", "slices coded between others, h = 2", PLAIN,
        as_nifti(grey((28, 26, 11), "i2", 15), _EVEN), 0.8, way=(2, 2),
    ),
    Case(
        "slices-after", "key slices coded after one another, h = 3, along the first axis", PLAIN,
        as_nifti(grey((19, 30, 26), "i2", 16), _EVEN), 0.8, way=(0, 3),
    ),
    Case("special-values", "NaN and infinities", PLAIN, as_array(_holes()), 3.0),
    Case(
        "padding", "padding outside a circle, signed", PLAIN,
        as_nifti(_padded(-2000), _THICK), 1.0,
    ),
    Case(
        "constant", "a value that all voxels share", PLAIN,
        as_array(np.full((9, 8, 7), -3, "<i4")), max_bytes=200,
    ),
    Case(
        "constant-nan", "nothing but NaN", PLAIN,
        as_array(np.full((9, 8), np.nan, "<f4")), max_bytes=200,
    ),
    Case("frames", "three frames on a fourth axis", PLAIN, as_nifti(_frames(), _EVEN), 1.0),
    Case(
        "frames-special-values", "frames of which one has special values", PLAIN,
        as_array(_holes_in_a_frame()), 2.5,
    ),
    Case(
        "dicom", "CT series with attributes, de-identified, and padding", PLAIN,
        as_dicom(_padded(-2000), Metadata.DEIDENTIFIED), 1.0,
    ),
    Case(
        "dicom-own-scales", "DICOM slices of several slopes and depths, and padding", PLAIN,
        as_dicom_of_own_scales(_padded(-2000)[:30, :24, :5]), 3.0, previews=(1,),
    ),
    Case(
        "dicom-bare", "CT series without attributes", PLAIN,
        as_dicom(grey((26, 24, 4), "i2", 17), Metadata.NONE), 3.0,
    ),
    Case(
        "template-field", "template, field and figures of the registration", TEMPLATE,
        as_nifti(grey(VOLUME, "i2", 18), SPACING), 1.2, shape="on", effort="normal",
        previews=(1,),
    ),
    Case(
        "template-alone", "template laid by the headers, of another grid", TEMPLATE,
        as_nifti(grey((20, 24, 17), "i2", 19), OBLIQUE), 1.0, shape="off",
    ),
    Case(
        "autoencoder-image", "autoencoder in 2-D", AUTOENCODER,
        as_array(grey((50, 44), "u1", 22, high=220)), 1.5,
    ),
    Case(
        "autoencoder-volume", "autoencoder in 3-D", AUTOENCODER,
        as_array(grey((20, 18, 14), "i2", 23)), 1.2,
    ),
    Case(
        "lossless", "all voxels exactly, int16", PLAIN,
        as_nifti(grey((40, 36, 20), "i2", 24), SPACING), lossless=True, previews=(1,),
    ),
    Case(
        "lossless-image", "all pixels of an image exactly", PLAIN,
        as_png(grey((60, 52), "u2", 25)), lossless=True,
    ),
    Case(
        "lossless-floats", "floats bit by bit, NaN and infinities among them", PLAIN,
        as_array(_holes()), lossless=True,
    ),
    Case(
        "lossless-frames", "frames exactly, each a reference of the next", PLAIN,
        as_nifti(_frames(), _EVEN), lossless=True,
    ),
    Case(
        "lossless-dicom-own-scales", "DICOM slices of several slopes, as they store them", PLAIN,
        as_dicom_of_own_scales(grey((30, 24, 5), "i2", 26)), lossless=True,
    ),
    Case(
        "labels", "a label map, exact at any size", PLAIN,
        as_array(np.digitize(grey((30, 28, 12), "i2", 27), [300, 600]).astype(np.uint8) * 7),
        lossless=True,
    ),
    Case(
        "bounded", "integers in steps of 9", PLAIN,
        as_nifti(grey((40, 36, 20), "i2", 28), SPACING), bound=ErrorBound(4.0), previews=(1,),
    ),
    Case(
        "bounded-floats", "floats in steps of 2 %, NaN and infinities among them", PLAIN,
        as_array(_holes()), bound=ErrorBound(0.01, of_range=True),
    ),
    Case(
        "quality", "integers of a PSNR of 40 dB", PLAIN,
        as_nifti(grey((20, 18, 12), "i2", 70), _EVEN), goal=QualityGoal("psnr", 40.0),
    ),
    Case(
        "layered", "a lossy file and differences to exact", PLAIN,
        as_nifti(grey((16, 14, 10), "i2", 71), OBLIQUE), 6.0, layered=True, previews=(1,),
    ),
    Case(
        "layered-floats", "floats and ranks of their bits, NaN and infinities among them", PLAIN,
        as_array(_holes()[:8, :10].astype("f4")), 9.0, layered=True,
    ),
    Case(
        "layered-image", "an image with a post-filter, and an exact part", PLAIN,
        as_array(grey((44, 40), "u1", 72, high=220)), 3.5, layered=True,
    ),
    *_types(),
    *_embedded(),
]  # fmt: skip
