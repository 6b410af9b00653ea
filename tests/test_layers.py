"""Layered files: a lossy file, and behind it what it lacks to be exact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

import deepstd
from deepstd.codec import residual
from deepstd.codec.codec import Codec
from deepstd.codec.exact import same_bits
from deepstd.codec.residual import Way
from deepstd.container import parse
from deepstd.errors import (
    ContainerError,
    DamagedError,
    DeepSTDError,
    ExactPartError,
    InputError,
    NotDstdError,
    OutputExistsError,
)

Phantom = Callable[..., np.ndarray]


@pytest.fixture
def files(only_tiny: Path, phantom: Phantom, tmp_path: Path) -> Path:
    """Folder of a scan, its lossy file, and its layered file."""
    np.save(tmp_path / "scan.npy", phantom((24, 22, 20)))
    for name, layered in (("lossy", False), ("layered", True)):
        deepstd.compress(
            tmp_path / "scan.npy",
            tmp_path / f"{name}.dstd",
            ratio=12,
            effort="fast",
            with_residual=layered,
        )
    return tmp_path


@pytest.mark.parametrize(
    "dtype", ["?", "u1", "i1", "<u2", ">i2", "<i4", ">u4", "<i8", ">u8", "<f2", ">f4", "<f8"]
)
@pytest.mark.parametrize("shape", [(40, 36), (14, 12, 10), (12, 10, 6, 3)])
def test_every_type_comes_back(
    only_tiny: Path, tmp_path: Path, dtype: str, shape: tuple[int, ...]
) -> None:
    kind, rng = np.dtype(dtype), np.random.default_rng(3)
    smooth = np.cumsum(rng.normal(0, 1, shape), 0)
    voxels = (smooth > 0 if kind.kind == "b" else np.clip(40 * smooth + 60, 0, 120)).astype(kind)
    report = deepstd.compress(
        voxels, tmp_path / "scan.dstd", max_bytes=600, effort="fast", with_residual=True
    )
    back = deepstd.decompress(tmp_path / "scan.dstd").voxels
    assert same_bits(back, voxels)
    container = parse((tmp_path / "scan.dstd").read_bytes(), "f")
    assert container.lossy_nbytes + report.exact_bytes == report.file_bytes == container.nbytes
    assert container.lossy_nbytes <= 600 or kind.kind == "b"


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
def test_floats_of_every_kind_come_back(only_tiny: Path, tmp_path: Path, dtype: str) -> None:
    rng = np.random.default_rng(1)
    voxels = np.cumsum(rng.normal(0, 1, (20, 18, 16)), 1).astype(dtype)
    voxels[0] = np.nan
    voxels[1, 1, :4] = np.inf
    voxels[1, 2, :4] = -np.inf
    voxels[2, 2, 2] = -0.0
    bits = voxels.view(f"u{voxels.dtype.itemsize}")
    bits[0, 0, 0] |= 1  # another NaN
    deepstd.compress(voxels, tmp_path / "scan.dstd", ratio=8, effort="fast", with_residual=True)
    assert same_bits(deepstd.decompress(tmp_path / "scan.dstd").voxels, voxels)


def test_floats_that_are_multiples_cost_what_integers_do(
    only_tiny: Path, phantom: Phantom, tmp_path: Path
) -> None:
    sizes = []
    for voxels in (phantom((24, 22, 20)), phantom((24, 22, 20), "f4") * np.float32(0.37)):
        report = deepstd.compress(
            voxels, tmp_path / "scan.dstd", max_bytes=900, effort="fast", with_residual=True,
            overwrite=True,
        )  # fmt: skip
        sizes.append(report.exact_bytes)
    assert abs(sizes[1] - sizes[0]) < 0.05 * sizes[0]


def test_differences_are_coded_where_they_are_smaller(only_tiny: Path, phantom: Phantom) -> None:
    codec = Codec.load("tiny")
    volume = deepstd.Volume(phantom((32, 30, 28)))
    ways = set()
    for bpv in (3.0, 0.045):
        data = codec.compress(volume, bpv=bpv, effort="fast")
        ways.add(residual.encode(volume, codec.predict(parse(data, "f")))[0])
    assert ways == {Way.STEPS, Way.VOXELS}


def test_the_first_part_is_the_lossy_file(files: Path) -> None:
    lossy, layered = ((files / f"{name}.dstd").read_bytes() for name in ("lossy", "layered"))
    assert layered.startswith(lossy)
    told = deepstd.info(files / "layered.dstd")
    assert told.exact_bytes == len(layered) - len(lossy)
    assert told.lossy_ratio == pytest.approx(deepstd.info(files / "lossy.dstd").ratio)
    assert told.ratio == pytest.approx(24 * 22 * 20 * 2 / len(layered))
    assert [section.name for section in told.sections[-2:]] == ["RESI", "HASH"]
    scan = np.load(files / "scan.npy")
    exact = deepstd.decompress(files / "layered.dstd")
    np.testing.assert_array_equal(exact.voxels, scan)
    assert any("by the exact part" in note for note in exact.notes)
    first = deepstd.decompress(files / "layered.dstd", lossy=True).voxels
    np.testing.assert_array_equal(first, deepstd.decompress(files / "lossy.dstd").voxels)
    assert not np.array_equal(first, scan)
    assert deepstd.decompress(files / "layered.dstd", level=1).shape == (12, 11, 10)


def test_strip_and_complete(files: Path) -> None:
    layered, part, back = files / "layered.dstd", files / "part", files / "back.dstd"
    deepstd.strip(layered, files / "first.dstd", keep_residual=part)
    assert (files / "first.dstd").read_bytes() == (files / "lossy.dstd").read_bytes()
    deepstd.complete(files / "lossy.dstd", part, back)
    assert back.read_bytes() == layered.read_bytes()
    with pytest.raises(OutputExistsError):
        deepstd.strip(layered, files / "first.dstd")
    with pytest.raises(InputError, match="has no exact part"):
        deepstd.strip(files / "lossy.dstd", files / "other.dstd")
    with pytest.raises(InputError, match="has its exact part already"):
        deepstd.complete(layered, part, files / "other.dstd")
    with pytest.raises(NotDstdError, match=r"part is the exact part of a scan\. Join"):
        deepstd.decompress(part)
    with pytest.raises(DamagedError, match="expected an exact part"):
        deepstd.complete(files / "lossy.dstd", files / "lossy.dstd", files / "other.dstd")


def test_a_part_of_another_file_is_refused(files: Path, phantom: Phantom) -> None:
    scan = phantom((24, 22, 20), seed=1)
    deepstd.compress(scan, files / "other.dstd", ratio=12, effort="fast")
    deepstd.strip(files / "layered.dstd", files / "first.dstd", keep_residual=files / "part")
    with pytest.raises(DamagedError, match="belongs to another file"):
        deepstd.complete(files / "other.dstd", files / "part", files / "both.dstd")
    mixed = (files / "other.dstd").read_bytes() + (files / "part").read_bytes()[8:]
    (files / "mixed.dstd").write_bytes(mixed)
    with pytest.raises(ExactPartError, match="belongs to another file"):
        deepstd.decompress(files / "mixed.dstd")


def test_what_can_be_had_of_a_damaged_file_is_had(files: Path) -> None:
    data = (files / "layered.dstd").read_bytes()
    lossy = deepstd.decompress(files / "lossy.dstd").voxels
    first = len((files / "lossy.dstd").read_bytes())
    rng = np.random.default_rng(0)
    for number, place in enumerate(rng.integers(first, len(data), 40)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.integers(8)
        if number % 4 == 0:
            damaged = damaged[:place]
        (files / "bad.dstd").write_bytes(damaged)
        if len(damaged) == first:
            continue
        with pytest.raises(
            ExactPartError, match=r"bad\.dstd is .* lossy scan is in .*back.npy"
        ) as e:
            deepstd.decompress(files / "bad.dstd", files / "back.npy", overwrite=True)
        assert e.value.exit_code == 4
        np.testing.assert_array_equal(np.load(files / "back.npy"), lossy)
        np.testing.assert_array_equal(e.value.volume.voxels, lossy)
        for strict in (deepstd.info, deepstd.verify):
            with pytest.raises(ContainerError):
                strict(files / "bad.dstd")
        deepstd.strip(files / "bad.dstd", files / "first.dstd", overwrite=True)
        assert (files / "first.dstd").read_bytes() == data[:first]
    for place in rng.integers(8, first, 20):
        damaged = bytearray(data)
        damaged[place] ^= 1
        (files / "bad.dstd").write_bytes(damaged)
        with pytest.raises(ContainerError) as other:
            deepstd.decompress(files / "bad.dstd")
        assert not isinstance(other.value, ExactPartError)


def test_an_exact_part_changed_behind_good_checksums_gives_no_other_scan(files: Path) -> None:
    import random

    from deepstd.container.format import ChunkType, encode_chunk
    from deepstd.container.layers import exact_part
    from tests.helpers.chunks import changed

    container = parse((files / "layered.dstd").read_bytes(), "f")
    part = container.exact_part
    assert part is not None
    lossy = (files / "lossy.dstd").read_bytes()
    generator, scan = random.Random(5), np.load(files / "scan.npy")
    for number in range(150):
        # The lossless data has a checksum of its own; what lies before it has none.
        start = 1 << 20 if number % 3 == 0 else 18
        payload = changed(part.payload[:start], generator) + part.payload[start:]
        chunk = encode_chunk(ChunkType.RESI, part.link + payload)
        data = lossy + chunk + encode_chunk(ChunkType.HASH, part.digest)
        (files / "bad.dstd").write_bytes(data)
        try:
            found = deepstd.decompress(files / "bad.dstd").voxels
        except ExactPartError:
            continue
        np.testing.assert_array_equal(found, scan)
    assert (
        exact_part(lossy, part.payload, b"")[:20]
        == (files / "layered.dstd").read_bytes()[len(lossy) : len(lossy) + 20]
    )


def test_verify_checks_both_parts(files: Path) -> None:
    found = deepstd.verify(files / "layered.dstd", against=files / "scan.npy")
    assert found.layered
    assert found.as_stated
    assert found.stated is not None
    assert found.stated["max_error"] > 0
    other = np.load(files / "scan.npy")
    other[3, 4, 5] += 1
    assert deepstd.verify(files / "lossy.dstd", against=other).as_stated
    assert deepstd.verify(files / "layered.dstd", against=other).as_stated is False


def test_filters_are_no_part_of_the_prediction(
    only_tiny: Path, phantom: Phantom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Filters are floats, which another machine rounds otherwise."""
    from deepstd.texture.filters.wiener import WienerFilter

    scan, packed = phantom((40, 36, 30)), tmp_path / "a.dstd"
    deepstd.compress(scan, packed, ratio=12, with_residual=True)
    assert "WIEN" in [section.name for section in deepstd.info(packed).sections]
    lossy = deepstd.decompress(packed, lossy=True).voxels
    apply = WienerFilter.apply
    monkeypatch.setattr(WienerFilter, "apply", lambda own, steps: apply(own, steps) + 0.5)
    assert not np.array_equal(deepstd.decompress(packed, lossy=True).voxels, lossy)
    np.testing.assert_array_equal(deepstd.decompress(packed).voxels, scan)


def test_bounded_error_gets_an_exact_part(phantom: Phantom, tmp_path: Path) -> None:
    scan = phantom((24, 22, 20))
    report = deepstd.compress(scan, tmp_path / "a.dstd", max_error=9, with_residual=True)
    assert report.bundle == "none 0"
    assert 5 < report.max_error <= 9
    np.testing.assert_array_equal(deepstd.decompress(tmp_path / "a.dstd").voxels, scan)
    lossy = deepstd.decompress(tmp_path / "a.dstd", lossy=True).voxels
    assert 5 < np.abs(lossy.astype(int) - scan).max() <= 9


def test_exact_files_get_none(tmp_path: Path) -> None:
    for scan in (
        np.full((9, 8, 7), 3, "i2"),
        np.eye(64, dtype="u1")[:, :, None] * np.ones(5, "u1"),
    ):
        report = deepstd.compress(
            scan, tmp_path / "a.dstd", ratio=4, with_residual=True, overwrite=True
        )
        assert report.exact_bytes == 0
        assert any("no exact part to add" in note for note in report.notes)
    with pytest.raises(InputError, match="lossless file needs no residual"):
        deepstd.compress(scan, tmp_path / "b.dstd", lossless=True, with_residual=True)


def test_a_coder_that_errs_writes_nothing(
    only_tiny: Path, phantom: Phantom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = residual.decode

    def wrong(*asked: object) -> np.ndarray:
        voxels = decode(*asked).copy()  # pyright: ignore[reportArgumentType]
        voxels[3, 3, 3] ^= 1
        return voxels

    monkeypatch.setattr(residual, "decode", wrong)
    with pytest.raises(DeepSTDError):
        deepstd.compress(
            phantom((14, 12, 10)), tmp_path / "a.dstd", ratio=8, effort="fast", with_residual=True
        )
    assert not list(tmp_path.iterdir())


def test_a_header_and_a_slope_are_kept(only_tiny: Path, phantom: Phantom, tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(phantom((20, 18, 16)), np.diag([1.0, 2.0, 3.0, 1.0]))
    nibabel.save(image, tmp_path / "scan.nii")
    deepstd.compress(
        tmp_path / "scan.nii", tmp_path / "a.dstd", ratio=9, effort="fast", with_residual=True
    )
    deepstd.decompress(tmp_path / "a.dstd", tmp_path / "back.nii")
    assert (tmp_path / "back.nii").read_bytes() == (tmp_path / "scan.nii").read_bytes()
