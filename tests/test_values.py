"""Figures in real-world values, the smallest type, and notes: from compression to every report."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import deepstd
from deepstd import api, io, verification
from deepstd.cli.app import main
from deepstd.container import Container, Head, pack_source_header, parse
from deepstd.errors import DamagedError
from deepstd.inspection import error_scale_of, figures_of, notes_of, quality_of, smallest_of
from deepstd.io.shear import SHEARED
from deepstd.quality import measure
from deepstd.volume import SourceHeader, Volume
from tests.helpers.chunks import with_header

pytestmark = pytest.mark.usefixtures("only_tiny")
Phantom = Callable[..., np.ndarray]
FAST = ("--max-bytes", "500", "--effort", "fast")
FIGURES = ("mae", "max_error", "psnr", "ssim")


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out)


def nifti(voxels: np.ndarray, scale: tuple[float, float] = (1.0, 0.0)) -> Volume:
    """A scan with a NIfTI header that states a slope and an intercept."""
    volume = io.with_own_header(Volume(voxels, np.diag([1.0, 1.2, 2.0, 1.0])))
    raw = bytearray(volume.source.raw)
    raw[112:120] = np.array(scale, "<f4").tobytes()
    return replace(volume, source=SourceHeader("nifti1", bytes(raw)))


@pytest.fixture(scope="module")
def original(phantom: Phantom) -> Volume:
    return nifti(phantom((14, 12, 10)))


@pytest.fixture(scope="module")
def packed(tiny_bundle: Path, original: Volume) -> Container:
    codec = deepstd.Codec.load(str(tiny_bundle))
    return parse(codec.compress(original, max_bytes=500, effort="fast"), "scan.dstd")


class TestRealWorldValues:
    """Stated errors are those of the values that stored ones stand for."""

    @given(
        st.floats(-1e6, 1e6, width=32).filter(lambda slope: abs(slope) > 1e-6),
        st.floats(-1e6, 1e6, width=32),
    )
    def test_stated_errors_are_the_measured_ones(
        self, packed: Container, original: Volume, tiny_bundle: Path, slope: float, intercept: float
    ) -> None:
        restored = decoded(packed, tiny_bundle)
        container = with_source(packed, nifti(original.voxels, (slope, intercept)).source)
        scale = error_scale_of(container)
        assert (scale.slope, scale.unit) == (abs(slope), None)
        real, back = (v * np.float64(slope) + intercept for v in (original.voxels, restored))
        stated, measured = quality_of(container), measure(real, back)
        assert stated is not None
        assert stated["mae"] == pytest.approx(measured.mae, rel=1e-4)
        assert stated["max_error"] == pytest.approx(measured.max_error, rel=1e-4)
        assert stated["psnr"] == pytest.approx(measured.psnr, rel=1e-4)

    def test_every_report(
        self, tmp_path: Path, original: Volume, capsys: pytest.CaptureFixture[str]
    ) -> None:
        source, output = tmp_path / "scan.nii", tmp_path / "scan.dstd"
        io.write(nifti(original.voxels, (0.25, -7.0)), source)
        assert run("compress", source, "-o", output, *FAST, "--json") == 0
        report = told(capsys)
        api.decompress(output, tmp_path / "back.nii")
        before, after = (
            np.asarray(nibabel.Nifti1Image.from_filename(tmp_path / name).get_fdata())
            for name in ("scan.nii", "back.nii")
        )
        largest, mean = np.abs(before - after).max(), np.abs(before - after).mean()
        assert report["mae"] == pytest.approx(mean)
        assert report["max_error"] == largest
        assert (report["slope"], report["unit"]) == (0.25, None)
        assert run("info", output, "--json") == 0
        described = told(capsys)
        assert described["quality"]["mae"] == pytest.approx(mean, rel=1e-4)
        assert (described["slope"], described["unit"]) == (0.25, None)
        assert run("verify", output, "--against", source, "--json") == 0
        verified = told(capsys)
        assert verified["stated"] == pytest.approx(described["quality"])
        assert verified["measured"]["max_error"] == largest
        assert verified["as_stated"] is True
        row = figures_of(parse(output.read_bytes(), "scan"))
        assert {name: row[name] for name in FIGURES} == pytest.approx(described["quality"])
        for command in (
            ["info", output],
            ["verify", output],
            ["verify", output, "--against", source],
        ):
            assert run(*command) == 0
            words = capsys.readouterr().out
            assert f"MAE {mean:.4g}, largest {largest:.4g} (stored values × 0.25)" in words
        assert run("compress", source, "-o", output, *FAST, "--overwrite") == 0
        assert f"largest {largest:.4g} (stored values × 0.25)" in capsys.readouterr().out

    def test_the_unit_of_ct(
        self,
        tmp_path: Path,
        phantom: Phantom,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        pytest.importorskip("pydicom", reason="needs pydicom: pip install 'deepstd[dicom]'")
        from deepstd.io.dicom.header import Facts, pack

        facts = Facts(
            np.eye(4)[:3].tolist(), None, None, 2.0, -1024.0, "MONOCHROME2", 16, "CT",
            "1.2.840.10008.5.1.4.1.1.2", "none", None, 0,
        )  # fmt: skip
        source = SourceHeader("dicom", pack(facts, []))
        volume = Volume(phantom((14, 12, 10)), np.eye(4), source)
        data = deepstd.Codec.load("tiny").compress(volume, max_bytes=600, effort="fast")
        (tmp_path / "ct.dstd").write_bytes(data)
        assert run("info", tmp_path / "ct.dstd") == 0
        words = capsys.readouterr().out
        head = parse(data, "ct").head
        assert head.quality is not None
        assert f"MAE {2 * head.quality.mae:.4g} HU, largest" in words
        assert api.verify(tmp_path / "ct.dstd").unit == "HU"

    def test_files_on_two_scales_are_compared_by_what_they_stand_for(
        self, tmp_path: Path, original: Volume
    ) -> None:
        doubled = nifti((2 * original.voxels).astype("i2"), (0.5, 3.0))
        io.write(doubled, tmp_path / "doubled.nii")
        once = nifti(original.voxels, (1.0, 3.0))
        io.write(once, tmp_path / "once.nii")
        api.compress(tmp_path / "once.nii", tmp_path / "once.dstd", max_bytes=500, effort="fast")
        one, other = (
            api.verify(tmp_path / "once.dstd", against=tmp_path / f"{name}.nii")
            for name in ("once", "doubled")
        )
        assert other.as_stated is True
        assert one.measured is not None
        assert other.measured == pytest.approx(one.measured, rel=1e-4)

    def test_a_damaged_header_of_the_original(self, packed: Container) -> None:
        container = with_source(packed, SourceHeader("nifti1", bytes(5)))
        with pytest.raises(DamagedError, match=r"scan\.dstd: the header of the original"):
            quality_of(container)


def decoded(container: Container, bundle: Path) -> np.ndarray:
    """The scan in a file, decoded once for all examples."""
    if id(container) not in _DECODED:
        _DECODED[id(container)] = deepstd.Codec.load(str(bundle)).decode(container).voxels
    return _DECODED[id(container)]


_DECODED: dict[int, np.ndarray] = {}


def with_source(container: Container, source: SourceHeader) -> Container:
    """The same file with another header of the original."""
    head = container.head
    packed = pack_source_header(source, head.shape, head.dtype)
    return parse(with_header(container, deepstd.Codec.load("tiny"), packed), container.name)


class TestLargeValues:
    """Floats whose errors no float32 holds."""

    @pytest.mark.parametrize("scale", [1e39, 1e160])
    def test_verify_accepts_them(
        self, tmp_path: Path, phantom: Phantom, scale: float, capsys: pytest.CaptureFixture[str]
    ) -> None:
        values = phantom((12, 10, 9), "f8") / 250
        np.save(tmp_path / "scan.npy", values * scale)
        api.compress(tmp_path / "scan.npy", tmp_path / "scan.dstd", bpv=6, effort="fast")
        report = api.verify(tmp_path / "scan.dstd", against=tmp_path / "scan.npy")
        assert report.as_stated is True
        assert report.measured is not None
        assert 20 < report.measured["psnr"] < 90
        assert report.stated is not None
        assert report.stated["psnr"] == pytest.approx(report.measured["psnr"], rel=1e-4)
        assert run("info", tmp_path / "scan.dstd") == 0
        if scale > 1e45:
            assert "MAE over 3.4e+38, largest over 3.4e+38" in capsys.readouterr().out
        np.save(tmp_path / "other.npy", values[::-1] * scale / 1e6)
        if scale > 1e45:  # beyond float32, sizes alone cannot tell two scans apart
            return
        other = api.verify(tmp_path / "scan.dstd", against=tmp_path / "other.npy")
        assert other.as_stated is False

    def test_another_scan_with_small_errors_is_not_what_is_stated(self, packed: Container) -> None:
        assert verification._close(1.0, math.inf, 0.0, 1.0) is False
        assert verification._close(1e39, math.inf, 0.0, 1.0) is True
        assert verification._close(1e30, math.inf, 0.0, 1e-9) is True


class TestSmallestType:
    """Whole numbers in large types."""

    @pytest.mark.parametrize("dtype", ["f8", "i4"])
    def test_every_report_tells_it(
        self, tmp_path: Path, phantom: Phantom, dtype: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        voxels = phantom((14, 12, 10)).astype(dtype) - 1000
        np.save(tmp_path / "scan.npy", voxels)
        output, size = tmp_path / "scan.dstd", np.dtype(dtype).itemsize
        assert (
            run("compress", tmp_path / "scan.npy", "-o", output, *FAST[2:], "--ratio", 8 * size)
            == 0
        )
        words = capsys.readouterr()
        name = voxels.dtype.name
        note = f"of {name} is 1"
        assert note in words.err
        assert "of int16, which holds every value; 1.0" in words.err
        assert f"For {8 * size}:1 of int16 ask for --ratio {4 * size * size}" in words.err
        assert "of int16)" in words.out
        assert run("info", output, "--json") == 0
        described = told(capsys)
        assert described["smallest_dtype"] == "int16"
        assert described["smallest_ratio"] == pytest.approx(described["ratio"] * 2 / size)
        assert any(note in line for line in described["notes"])
        row = figures_of(parse(output.read_bytes(), "scan"))
        assert (row["smallest_dtype"], row["ratio"]) == ("int16", described["ratio"])

    @pytest.mark.parametrize("dtype", ["i2", "u1"])
    def test_types_of_scanners_are_left_alone(self, phantom: Phantom, dtype: str) -> None:
        data = deepstd.Codec.load("tiny").compress(
            Volume(phantom((14, 12, 10)).astype(dtype)), max_bytes=500, effort="fast"
        )
        container = parse(data, "scan")
        assert smallest_of(container) == (None, None)
        assert notes_of(container) == ()
        assert [s.name for s in container.sections if s.name in ("NOTE", "TYPE")] == []

    def test_the_file_fills_what_it_may_all_the_same(self, phantom: Phantom) -> None:
        voxels = phantom((14, 12, 10)).astype("f8")
        volume = Volume(voxels, notes=("slices lie 1 to 2 mm apart", "its gantry was tilted"))
        nbytes = len(deepstd.Codec.load("tiny").compress(volume, max_bytes=700, effort="fast"))
        assert 0.997 * 700 <= nbytes <= 700


NOTES = ("slices lie 1.5 to 5 mm apart; not 2 mm", "two frames at each place")


@pytest.fixture(scope="module")
def noted(original: Volume, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a scan with notes."""
    volume = replace(original, notes=NOTES)
    codec = deepstd.Codec.load(str(tiny_bundle))
    path = tmp_path_factory.mktemp("noted") / "noted.dstd"
    path.write_bytes(codec.compress(volume, max_bytes=800, effort="fast"))
    return path


class TestNotes:
    """What a user should know of a scan travels in its file."""

    def test_they_come_back(self, noted: Path, tmp_path: Path) -> None:
        assert deepstd.decompress(noted, tmp_path / "back.npy").notes == NOTES
        assert api.verify(noted).notes == NOTES
        assert deepstd.info(noted).notes == NOTES
        preview = deepstd.decompress(noted, tmp_path / "small.npy", level=1)
        assert preview.notes == NOTES

    def test_the_commands_repeat_them(
        self, noted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for command in (["info"], ["verify"], ["decompress", "-o", tmp_path / "back.nii"]):
            assert run(command[0], noted, *command[1:]) == 0
            words = capsys.readouterr()
            assert all(f"note: {note}" in words.err for note in NOTES)
            assert not any(note in words.out for note in NOTES)
        for command in ("info", "verify"):
            assert run(command, noted, "--json") == 0
            words = capsys.readouterr()
            assert json.loads(words.out)["notes"] == list(NOTES)

    def test_they_count_as_bytes_of_the_file(self, noted: Path) -> None:
        sections = parse(noted.read_bytes(), "noted").sections
        (nbytes,) = (section.nbytes for section in sections if section.name == "NOTE")
        assert 0.997 * 800 <= noted.stat().st_size <= 800
        assert nbytes < sum(map(len, NOTES))

    def test_a_small_file_says_which_it_has_no_room_for(
        self, tmp_path: Path, original: Volume, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        long = tuple(f"{n}: {np.random.default_rng(n).bytes(40).hex()}" for n in range(5))
        monkeypatch.setattr(io, "read", lambda *a, **k: replace(original, notes=long))
        (tmp_path / "scan.npy").touch()
        report = api.compress(
            tmp_path / "scan.npy", tmp_path / "scan.dstd", max_bytes=800, effort="fast"
        )
        kept = parse((tmp_path / "scan.dstd").read_bytes(), "scan").notes
        assert kept == long[: len(kept)]
        assert 0 < len(kept) < len(long)
        left = len(long) - len(kept)
        last = f"the file has no room for the last {left} of these notes"
        assert report.notes == (*long, last)

    def test_files_of_earlier_releases_have_none(self, packed: Container) -> None:
        assert (packed.notes, packed.smallest) == ((), None)

    def test_readers_of_earlier_releases_pass_over_them(self, noted: Path) -> None:
        from deepstd.container import chunks

        known = dict(chunks._TYPES)
        for chunk_type in "ny":
            known.pop(ord(chunk_type))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chunks, "_TYPES", known)
            container = parse(noted.read_bytes(), "noted")
        assert container.notes == ()
        assert deepstd.Codec.load("tiny").decode(container).shape == (14, 12, 10)


class TestShearedScans:
    """Tilted scans: told at compression, told or straightened at restoring."""

    @pytest.fixture
    def tilted(self, tmp_path: Path, phantom: Phantom) -> Path:
        affine = np.diag([1.0, 1.0, 2.0, 1.0])
        affine[1, 2] = 0.6
        image = nibabel.Nifti1Image(phantom((14, 12, 10)), affine)
        image.set_qform(None, 0)
        image.to_filename(tmp_path / "tilted.nii.gz")
        return tmp_path / "tilted.nii.gz"

    def test_there_and_back(
        self, tilted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        output = tmp_path / "tilted.dstd"
        assert run("compress", tilted, "-o", output, "--max-bytes", 700, "--effort", "fast") == 0
        assert f"note: {SHEARED}" in capsys.readouterr().err
        assert run("decompress", output, "-o", tmp_path / "back.nii.gz") == 0
        assert f"note: {SHEARED}" in capsys.readouterr().err
        assert run("decompress", output, "-o", tmp_path / "back.npy") == 0
        assert SHEARED not in capsys.readouterr().err
        straight = tmp_path / "straight.nii.gz"
        assert run("decompress", output, "-o", straight, "--straighten") == 0
        words = capsys.readouterr()
        assert SHEARED not in words.err
        assert "note: straightened: slices are shifted" in words.err
        assert "14 x 18 x 10" in words.out
        affine = nibabel.Nifti1Image.from_filename(straight).affine
        assert affine is not None
        np.testing.assert_allclose(affine[:3, :3], np.diag([1.0, 1.0, 2.0]), atol=1e-6)

    def test_old_files_are_told_of_when_restored(self, tilted: Path, tmp_path: Path) -> None:
        silent = replace(io.read(tilted), notes=())
        data = deepstd.Codec.load("tiny").compress(silent, max_bytes=700, effort="fast")
        (tmp_path / "old.dstd").write_bytes(data)
        assert parse(data, "old").notes == ()
        assert deepstd.decompress(tmp_path / "old.dstd", tmp_path / "a.nii").notes == (SHEARED,)

    def test_a_straight_scan_needs_no_straightening(
        self, packed: Container, tmp_path: Path, tiny_bundle: Path
    ) -> None:
        data = with_header(packed, deepstd.Codec.load("tiny"), packed.packed_source_header)
        (tmp_path / "scan.dstd").write_bytes(data)
        volume = deepstd.decompress(tmp_path / "scan.dstd", tmp_path / "a.nii", straighten=True)
        assert volume.notes == ()
        np.testing.assert_array_equal(volume.voxels, decoded(packed, tiny_bundle))


def test_a_head_keeps_large_figures_as_infinite() -> None:
    from deepstd.container import BundleRef
    from deepstd.quality import Quality

    quality = Quality(1e39, 1e300, 40.0, 0.9)
    head = Head("npy", np.dtype("f8"), (2, 3), BundleRef("a", "1", bytes(8)), quality)
    found = Head.unpack(head.pack(), "f").quality
    assert found == Quality(math.inf, math.inf, 40.0, found.ssim if found else 0)
