"""The command line as a user meets it: what it writes where, and its exit codes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepstd import api
from deepstd.cli.app import main

pytestmark = pytest.mark.usefixtures("only_tiny")
QUALITY = {"mae", "max_error", "psnr", "ssim"}


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


class TestCompress:
    """``compress`` and ``decompress``."""

    def test_there_and_back(self, scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("compress", scan, "--ratio", 16) == 0
        told = capsys.readouterr()
        assert "tiny 1" in told.out
        assert "PSNR" in told.out
        assert (scan.parent / "scan.dstd").is_file()
        assert run("decompress", scan.parent / "scan.dstd", "-o", scan.parent / "back.npy") == 0
        assert "18 x 16 x 12, int16" in capsys.readouterr().out
        assert np.load(scan.parent / "back.npy").shape == (18, 16, 12)

    @pytest.mark.parametrize("spot", [False, True])
    def test_only_a_place_of_its_own_is_named(
        self, scan: Path, capsys: pytest.CaptureFixture[str], spot: bool
    ) -> None:
        random = np.random.default_rng(0)
        voxels = random.normal(0, 2, (48, 44))
        if spot:
            voxels[20:28, 20:28] += random.normal(0, 300, (8, 8))
        np.save(scan.parent / "x.npy", np.rint(voxels + 1000).astype(np.int16))
        assert run("compress", scan.parent / "x.npy", "--ratio", 32) == 0
        assert ("largest error" in capsys.readouterr().out) == spot

    @pytest.mark.parametrize(
        ("rate", "most"),
        [(("--ratio", "16"), 432), (("--bpv", "1"), 432), (("--max-bytes", "0.5kB"), 500)],
    )
    def test_json(
        self, scan: Path, capsys: pytest.CaptureFixture[str], rate: tuple[str, str], most: int
    ) -> None:
        assert run("compress", scan, "-o", scan.parent / "a.dstd", *rate, "--json") == 0
        report = json.loads(capsys.readouterr().out)
        keys = "source output bundle tried voxels stored_bytes file_bytes ratio bpv shape_bytes"
        keys += " texture_bytes field_kept registration seconds notes slope unit"
        keys += " smallest_dtype smallest_ratio lossless asked exact_bytes lossy_ratio"
        keys += " familiarity"
        assert set(report) == set(keys.split()) | QUALITY
        assert report["file_bytes"] == (scan.parent / "a.dstd").stat().st_size
        assert 0.997 * most <= report["file_bytes"] <= most
        assert report["tried"].keys() == {"tiny 1"}

    def test_an_exact_scan_is_valid_json(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        np.save(tmp_path / "flat.npy", np.zeros((5, 5), np.uint8))
        assert run("compress", tmp_path / "flat.npy", "--max-bytes", 200, "--json") == 0
        report = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
        assert (report["max_error"], report["psnr"]) == (0, None)

    def test_the_name_of_the_output(self, scan: Path, phantom: Callable[..., np.ndarray]) -> None:
        import nibabel

        image = nibabel.Nifti1Image(phantom((10, 9, 8)), np.eye(4))
        nibabel.save(image, scan.parent / "a.b.nii.gz")
        assert run("compress", scan.parent / "a.b.nii.gz", "--max-bytes", 600) == 0
        assert (scan.parent / "a.b.dstd").is_file()

    def test_overwrite(self, scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
        output = scan.parent / "scan.dstd"
        output.write_bytes(b"precious")
        assert run("compress", scan, "--ratio", 16) == 1
        assert "exists" in capsys.readouterr().err
        assert output.read_bytes() == b"precious"
        assert run("compress", scan, "--ratio", 16, "--overwrite") == 0
        assert output.read_bytes() != b"precious"

    def test_unreachable(self, scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("compress", scan, "--ratio", 5000) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert "error: " in told.err
        assert "--ratio" in told.err

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["--ratio", "0"],
            ["--ratio", "nan"],
            ["--bpv", "-1"],
            ["--bpv", "much"],
            ["--max-bytes", "3 elephants"],
            ["--ratio", "16", "--bpv", "1"],
            ["--ratio", "16", "--no-such-option"],
        ],
    )
    def test_wrong_usage(
        self, scan: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
    ) -> None:
        assert run("compress", scan, *arguments) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert "Usage:" in told.err

    def test_a_device_that_is_not_there(
        self, scan: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run("compress", scan, "--ratio", 16, "-d", "abacus") == 1
        assert "abacus" in capsys.readouterr().err


class TestInspect:
    """``info`` and ``verify``."""

    def test_info(self, packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("info", packed) == 0
        told = capsys.readouterr()
        assert "18 x 16 x 12, int16, from npy" in told.out
        assert "tiny 1" in told.out
        assert told.err == ""

    def test_info_json(self, packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("info", packed, "--json") == 0
        found = json.loads(capsys.readouterr().out)
        keys = "file file_bytes source_format shape dtype byte_order voxels stored_bytes ratio bpv"
        keys += " bundle quality registration digest sections slope unit notes"
        keys += " smallest_dtype smallest_ratio lossless asked exact_bytes lossy_ratio"
        assert set(found) == set(keys.split())
        assert set(found["quality"]) == QUALITY
        assert sum(section["bytes"] for section in found["sections"]) == packed.stat().st_size

    def test_info_needs_no_torch(self, packed: Path) -> None:
        code = (
            "import sys; from deepstd.cli.app import main; code = main(['info', sys.argv[1]]); "
            "heavy = {'torch', 'scipy', 'nibabel', 'constriction'} & set(sys.modules); "
            "sys.exit(code or ' '.join(heavy) or 0)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, packed], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "tiny" in done.stdout

    def test_verify(self, packed: Path, scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("verify", packed) == 0
        assert "whole" in capsys.readouterr().out
        assert run("verify", packed, "--against", scan, "--json") == 0
        report = json.loads(capsys.readouterr().out)
        keys = {"source", "bundle", "stated", "against", "measured", "as_stated"}
        assert set(report) == keys | {"slope", "unit", "notes", "lossless", "layered"}
        assert set(report["measured"]) == set(report["stated"]) == QUALITY

    def test_verify_another_scan(
        self, packed: Path, scan: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        np.save(scan, np.load(scan)[::-1] + 100)
        assert run("verify", packed, "--against", scan) == 1
        assert "another scan" in capsys.readouterr().err

    @pytest.mark.parametrize("command", ["info", "verify", "decompress"])
    @pytest.mark.parametrize("damage", ["cut", "flipped", "foreign"])
    def test_a_damaged_file(
        self, packed: Path, capsys: pytest.CaptureFixture[str], command: str, damage: str
    ) -> None:
        data = packed.read_bytes()
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        packed.write_bytes({"cut": data[:-9], "flipped": flipped, "foreign": b"GIF89a"}[damage])
        output = packed.parent / "back.npy"
        assert run(command, packed, *(["-o", output] if command == "decompress" else [])) == 4
        told = capsys.readouterr()
        assert told.out == ""
        assert "error: " in told.err
        assert "Traceback" not in told.err
        assert not output.exists()


class TestModel:
    """``model`` and ``doctor``."""

    def test_list(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("model", "list") == 0
        assert "tiny" in capsys.readouterr().out
        assert run("model", "list", "--json") == 0
        (entry,) = json.loads(capsys.readouterr().out)
        assert (entry["name"], entry["axes"], entry["template"]) == ("tiny", [2, 3], False)

    def test_show(self, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("model", "show", "tiny") == 0
        assert "# tiny" in capsys.readouterr().out
        assert run("model", "show", tiny_bundle, "--json") == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["manifest"]["schema_version"] == 1
        assert shown["card"].startswith("# tiny")
        assert run("model", "show", "huge") == 1
        assert "huge" in capsys.readouterr().err

    def test_verify(
        self, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run("model", "verify") == 0
        assert "tiny: ok" in capsys.readouterr().out
        changed = tmp_path / "changed"
        shutil.copytree(tiny_bundle, changed)
        (changed / "README.md").write_text("Something else.")
        assert run("model", "verify", tiny_bundle, changed, "--json") == 1
        entries = json.loads(capsys.readouterr().out)
        assert [entry["ok"] for entry in entries] == [True, False]
        assert "README.md" in entries[1]["problem"]

    def test_doctor(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("doctor", "--json") == 0
        report = json.loads(capsys.readouterr().out)
        assert report["ok"]
        assert report["versions"]["numpy"]
        assert report["extras"]["train"]["torch"]
        assert [entry["ok"] for entry in report["bundles"]] == [True]

    def test_doctor_knows_every_extra(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("doctor", "--json") == 0
        known = json.loads(capsys.readouterr().out)["extras"]
        text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
        stated = tomllib.loads(text)["project"]["optional-dependencies"]
        assert set(known) == set(stated) - {"docs", "dev"}
        for extra, names in known.items():
            required = {re.split(r"[\[><=]", line)[0] for line in stated[extra]}
            assert required - {"deepstd"} <= set(names), extra

    def test_doctor_without_bundles(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        monkeypatch.setattr("deepstd.bundle.store.folders", lambda: [tmp_path])
        assert run("doctor") == 1
        assert "NONE" in capsys.readouterr().out
        assert run("model", "list") == 0
        assert capsys.readouterr().out == ""


class TestErrors:
    """What becomes of an error that nobody planned for."""

    @pytest.fixture
    def failing(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
        def run_with(error: BaseException) -> int:
            def fail(*args: object, **options: object) -> None:
                raise error

            monkeypatch.setattr(api, "compress", fail)
            return run("compress", "scan.npy", "--ratio", 16)

        return run_with

    def test_unexpected(
        self,
        failing: Callable[[BaseException], int],
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        assert failing(KeyError("odd")) == 1
        told = capsys.readouterr().err
        assert "KeyError" in told
        assert "DEEPSTD_DEBUG=1" in told
        assert "Traceback" not in told
        monkeypatch.setenv("DEEPSTD_DEBUG", "1")
        assert failing(KeyError("odd")) == 1
        assert "Traceback" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "error",
        [
            MemoryError(),
            RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate"),
            type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory."),
        ],
    )
    def test_out_of_memory(
        self,
        failing: Callable[[BaseException], int],
        capsys: pytest.CaptureFixture[str],
        error: Exception,
    ) -> None:
        assert failing(error) == 1
        assert "not enough memory" in capsys.readouterr().err

    def test_no_space(
        self, failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert failing(OSError(28, "No space left on device", "out.dstd")) == 1
        assert "out.dstd: No space left" in capsys.readouterr().err

    def test_interrupted(
        self, failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert failing(KeyboardInterrupt()) == 130
        assert "interrupted" in capsys.readouterr().err


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == "deepstd 0.1.0\n"
    assert run("--help") == 0
    assert "compress" in capsys.readouterr().out
    assert run() == 2
    assert run("no-such-command") == 2


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from deepstd.cli.app import main; main(['--help']); "
        "sys.exit(' '.join({'torch', 'numpy', 'nibabel'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_python_dash_m(packed: Path) -> None:
    command = [sys.executable, "-m", "deepstd", "info", packed]
    packed.write_bytes(packed.read_bytes()[:-1])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
