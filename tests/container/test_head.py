from __future__ import annotations

import dataclasses
import math
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstd import bundle
from deepstd.container.head import (
    COMMON_NAMES,
    MAX_AXIS,
    MAX_VOXELS,
    SOURCE_FORMATS,
    BundleRef,
    Head,
    Registration,
)
from deepstd.errors import (
    BundleError,
    ContainerError,
    DamagedError,
    UnsupportedFormatError,
    UnsupportedVersionError,
)
from deepstd.quality import Quality

BUNDLE = BundleRef("hippocampus-t1", "1.0.0", b"\x01\x02\x03\x04\x05\x06\x07\x08")
HEAD = Head("nifti1", np.dtype("<i2"), (37, 52, 30), BUNDLE, Quality(1.5, 9.0, 41.25, 0.96875))
DTYPES = [f"{o}{t}" for o in "<>" for t in ("u1", "i2", "u4", "i8", "u8", "f2", "f4", "f8", "b1")]

dtypes = st.sampled_from(DTYPES).map(np.dtype)
shapes = st.lists(st.integers(1, 500), min_size=2, max_size=4).map(tuple)
bundles = st.builds(
    BundleRef,
    st.sampled_from(COMMON_NAMES) | st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True),
    st.from_regex(r"[0-9][0-9A-Za-z.+-]{0,63}", fullmatch=True),
    st.binary(min_size=8, max_size=8),
)
figures = st.floats(min_value=0, max_value=2.0**100, width=32)
qualities = st.none() | st.builds(Quality, figures, figures, figures, figures)
heads = st.builds(
    Head,
    st.sampled_from(sorted(SOURCE_FORMATS)),
    dtypes,
    shapes,
    bundles,
    qualities,
    source_nbytes=st.none() | st.integers(1, 8),
)


def without_quality(head: Head) -> Head:
    return dataclasses.replace(head, quality=None)


@given(heads)
def test_a_head_comes_back(head: Head) -> None:
    back = Head.unpack(head.pack(), "f")
    assert without_quality(back) == without_quality(head)
    assert back.dtype.str == head.dtype.str
    assert (back.quality is None) == (head.quality is None)


@given(qualities.filter(bool))
def test_figures_keep_five_digits_and_never_hide_error(quality: Quality) -> None:
    back = Head.unpack(dataclasses.replace(HEAD, quality=quality).pack(), "f").quality
    assert back is not None
    tiny = 2.0**-133  # what is smaller than a normal float32 keeps fewer digits
    assert back.mae == pytest.approx(quality.mae, rel=2**-16, abs=tiny)
    assert back.psnr == pytest.approx(quality.psnr, rel=2**-16, abs=tiny)
    assert quality.max_error <= back.max_error
    assert back.max_error == pytest.approx(quality.max_error, rel=2**-15, abs=2 * tiny)


def test_figures_without_a_number_come_back() -> None:
    lossless = Quality(0.0, 0.0, math.inf, math.nan)
    back = Head.unpack(dataclasses.replace(HEAD, quality=lossless).pack(), "f").quality
    assert back is not None
    assert (back.mae, back.max_error, back.psnr) == (0.0, 0.0, math.inf)
    assert math.isnan(back.ssim)


def test_figures_beyond_float32_become_infinite_not_wrong() -> None:
    huge = Quality(1e300, 3.4028234e38, -math.inf, -3.5)
    back = Head.unpack(dataclasses.replace(HEAD, quality=huge).pack(), "f").quality
    assert back == Quality(math.inf, math.inf, -math.inf, -3.5)


def test_a_head_is_small_and_the_same_size_with_any_figures() -> None:
    assert len(HEAD.pack()) == 34
    other = dataclasses.replace(HEAD, quality=Quality(math.nan, math.inf, 0.0, 1.0))
    assert len(other.pack()) == len(HEAD.pack())


def test_frames_and_sizes() -> None:
    assert HEAD.frame_count == 1
    cine = dataclasses.replace(HEAD, shape=(4, 5, 6, 7))
    assert (cine.frame_count, cine.voxel_count, cine.stored_bytes) == (7, 840, 1680)


@given(heads, st.data())
def test_a_head_cut_short_is_damage(head: Head, data: st.DataObject) -> None:
    payload = head.pack()
    cut = data.draw(st.integers(0, len(payload) - 1))
    with pytest.raises(DamagedError, match=r"^scan\.dstd is damaged: the head"):
        Head.unpack(payload[:cut], "scan.dstd")


@given(st.binary(max_size=80))
def test_any_bytes_are_a_head_or_an_error(payload: bytes) -> None:
    try:
        head = Head.unpack(payload, "f")
    except ContainerError:
        return
    assert Head.unpack(head.pack(), "f").shape == head.shape


@given(st.integers(0, len(HEAD.pack()) - 1), st.integers(1, 255))
def test_a_changed_head_never_escapes_the_error_tree(place: int, change: int) -> None:
    payload = bytearray(HEAD.pack())
    payload[place] ^= change
    try:
        head = Head.unpack(bytes(payload), "f")
    except ContainerError:
        return
    assert head != HEAD


@pytest.mark.parametrize(
    "shape", [(5,), (5, 0), (1, 1, 1, 1, 1), (MAX_AXIS + 1, 1), (1 << 18, 1 << 18, 2)]
)
def test_a_shape_without_room_is_refused_both_ways(shape: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedFormatError, match="cannot be stored"):
        Head("npy", np.dtype("u1"), shape, BUNDLE)


def test_the_largest_shape_has_room() -> None:
    head = Head("npy", np.dtype("u1"), (1 << 18, 1 << 18), BUNDLE)
    assert head.voxel_count == MAX_VOXELS
    assert Head.unpack(head.pack(), "f") == head


def test_a_hostile_shape_is_damage() -> None:
    payload = bytearray(Head("npy", np.dtype("u1"), (1 << 18, 1 << 18), BUNDLE).pack())
    assert payload[3:6] == b"\x80\x80\x10"
    payload[5] = 0x20
    with pytest.raises(DamagedError, match="voxels"):
        Head.unpack(bytes(payload), "f")


@pytest.mark.parametrize("dtype", ["c8", "S4", "M8[s]", "f16", "V2"])
def test_a_type_without_room_is_refused(dtype: str) -> None:
    with pytest.raises(UnsupportedFormatError, match="type"):
        Head("npy", np.dtype(dtype), (2, 2), BUNDLE)


@pytest.mark.parametrize(
    ("name", "version"),
    [("", "1"), ("Ä", "1"), ("a" * 65, "1"), ("../x", "1"), ("a b", "1"), ("a", ""), ("a", "v1")],
)
def test_odd_bundle_names_are_refused(name: str, version: str) -> None:
    with pytest.raises(BundleError, match="bundle"):
        BundleRef(name, version, bytes(8))


def test_a_bundle_digest_has_eight_bytes() -> None:
    with pytest.raises(BundleError, match="8 bytes"):
        BundleRef("a", "1", bytes(7))


def test_a_format_of_a_newer_release_says_so() -> None:
    payload = b"\x63" + HEAD.pack()[1:]
    with pytest.raises(UnsupportedVersionError, match="Upgrade"):
        Head.unpack(payload, "f")


def test_a_common_name_of_a_newer_release_says_so() -> None:
    payload = HEAD.pack().replace(b"\0\1\x051.0.0", b"\0\x63\x051.0.0")
    with pytest.raises(UnsupportedVersionError, match="bundle number 99"):
        Head.unpack(payload, "f")


@pytest.mark.parametrize("name", COMMON_NAMES)
def test_a_common_name_may_be_written_out(name: str) -> None:
    head = dataclasses.replace(HEAD, bundle=dataclasses.replace(BUNDLE, name=name))
    short = bytes([0, COMMON_NAMES.index(name)])
    assert head.pack().count(short + b"\x051.0.0") == 1
    written = head.pack().replace(short + b"\x05", bytes([len(name)]) + name.encode() + b"\x05")
    assert Head.unpack(written, "f") == head


def test_an_unknown_source_format_is_refused() -> None:
    with pytest.raises(UnsupportedFormatError, match="expected one of"):
        Head("bmp", np.dtype("u1"), (2, 2), BUNDLE)


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0, 9), st.floats(0, 100))
def test_figures_of_the_registration_come_back_nearly(
    before: float, after: float, cycle: float, folding: float
) -> None:
    told = Registration(before, after, cycle, folding)
    head = Head("nifti1", np.dtype("<i2"), (37, 52, 30), BUNDLE, None, told)
    again = Head.unpack(head.pack(), "x").registration
    assert again is not None
    assert again.ncc_before == pytest.approx(before, abs=0.004)
    assert again.ncc_after == pytest.approx(after, abs=0.004)
    cycle = min(cycle, 255 / 32)  # the most that a byte holds
    assert cycle - 1e-9 <= again.cycle_error_voxels <= cycle + 0.04
    assert folding - 1e-9 <= again.folding_percent <= folding + 0.8
    assert len(head.pack()) == len(Head("nifti1", np.dtype("<i2"), (37, 52, 30), BUNDLE).pack()) + 4


@pytest.mark.parametrize("nonnegative", [False, True])
def test_the_sign_of_a_scan_comes_back_and_costs_nothing(nonnegative: bool) -> None:
    head = Head("npy", np.dtype("<i2"), (37, 52, 30), BUNDLE, nonnegative=nonnegative)
    assert Head.unpack(head.pack(), "x").nonnegative is nonnegative
    assert len(head.pack()) == len(Head("npy", np.dtype("<i2"), (37, 52, 30), BUNDLE).pack())


def test_bytes_of_the_source_are_those_of_the_ratio() -> None:
    head = Head("dicom", np.dtype("<f4"), (37, 52, 30), BUNDLE, source_nbytes=2 * 37 * 52 * 30)
    assert Head.unpack(head.pack(), "x").stored_bytes == 2 * 37 * 52 * 30
    assert dataclasses.replace(head, source_nbytes=None).stored_bytes == 4 * 37 * 52 * 30


@pytest.mark.parametrize("nbytes", [0, 8 * 37 * 52 * 30 + 1])
def test_bytes_that_cannot_be_those_of_the_voxels_are_refused(nbytes: int) -> None:
    with pytest.raises(UnsupportedFormatError, match="cannot be those of"):
        Head("dicom", np.dtype("<f4"), (37, 52, 30), BUNDLE, source_nbytes=nbytes)


def test_the_bundles_of_the_package_have_common_names() -> None:
    assert {path.name for path in (resources.files(bundle) / "embedded").iterdir()} == {
        *COMMON_NAMES
    }
