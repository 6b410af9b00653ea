"""Several devices that share a scan: the same bytes and voxels as one of them alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import deepstd
from deepstd import api
from deepstd.codec.codec import Codec
from deepstd.devices import CPU, Device, Workers
from deepstd.errors import DeviceError
from deepstd.shape import conditioning
from deepstd.threads import limited_to, thread_count

Phantom = Callable[..., np.ndarray]
TWO = Workers.named("cpu, cpu")


class TestWorkers:
    """How parts are handed out."""

    def test_results_come_in_the_order_of_the_parts(self) -> None:
        def slow_first(device: Device, part: int) -> tuple[int, str]:
            time.sleep(0.05 if part == 0 else 0.0)
            return part * part, device.kind

        assert list(TWO.map(slow_first, range(9))) == [(n * n, "cpu") for n in range(9)]

    def test_all_work_at_the_same_time(self) -> None:
        meeting = threading.Barrier(2, timeout=20)
        assert len(list(TWO.map(lambda device, part: meeting.wait(), range(4)))) == 4

    def test_few_parts_are_under_way_at_a_time(self) -> None:
        begun: list[int] = []
        results = TWO.map(lambda device, part: begun.append(part), range(50))
        next(results)
        time.sleep(0.1)
        assert len(begun) <= 5
        results.close()  # type: ignore[attr-defined]

    @pytest.mark.parametrize(("parts", "threads"), [(0, []), (1, [4]), (2, [2, 2]), (3, [1] * 3)])
    def test_few_parts_have_all_cores(self, parts: int, threads: list[int]) -> None:
        four = Workers.named("cpu,cpu,cpu,cpu")
        with limited_to(4):
            found = four.map(lambda device, part: thread_count(), range(parts))
            assert list(found) == threads

    @pytest.mark.skipif(torch.cuda.is_available(), reason="auto takes the GPU")
    @pytest.mark.parametrize(("threads", "shares"), [(1, 1), (2, 2), (5, 1), (6, 3), (8, 4)])
    def test_auto_divides_the_cores(self, threads: int, shares: int) -> None:
        with limited_to(threads):
            assert len(Workers.named("auto").devices) == shares
            assert len(Workers.named("cpu").devices) == 1

    def test_an_error_ends_it(self) -> None:
        def fail(device: Device, part: int) -> None:
            raise ValueError(f"part {part}")

        with pytest.raises(ValueError, match="part 0"):
            list(TWO.map(fail, range(20)))

    def test_cores_are_divided_and_given_back(self) -> None:
        with limited_to(2):
            assert list(TWO.map(lambda device, part: thread_count(), range(3))) == [1] * 3
            assert thread_count() == 2

    @pytest.mark.parametrize("names", ["", "cpu,", "cpu,abacus", "cpu;cpu", "cuda:977,cpu"])
    def test_names_that_are_none(self, names: str) -> None:
        with pytest.raises(DeviceError):
            Workers.named(names)


@pytest.mark.parametrize("shape", [(140, 70, 10), (70, 140, 12, 2)])
def test_two_devices_make_the_same_file_and_the_same_scan(
    tiny_bundle: Path, phantom: Phantom, shape: tuple[int, ...]
) -> None:
    one, two = (Codec.load(str(tiny_bundle), device=names) for names in ("cpu", "cpu,cpu"))
    volume = deepstd.Volume(phantom(shape))
    data = one.compress(volume, bpv=1.5)
    assert two.compress(volume, bpv=1.5) == data
    expected = one.decompress(data).voxels
    np.testing.assert_array_equal(two.decompress(data).voxels, expected)


def test_two_devices_warp_alike(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = data_dir / "hippocampus-t1" / "images" / "hippocampus_037.nii.gz"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    one, two = (Codec.load("hippocampus-t1", device=names) for names in ("cpu", "cpu,cpu"))
    volume = deepstd.read(path)
    data = one.compress(volume, ratio=24, shape="on")
    expected = one.decompress(data).voxels
    monkeypatch.setattr(conditioning, "_REGION_VOXELS", 1000)
    np.testing.assert_array_equal(two.decompress(data).voxels, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    ("name", "bundle"),
    [
        ("hippocampus-t1/images/hippocampus_037.nii.gz", "hippocampus-t1"),
        ("hippocampus-t1/images/hippocampus_037.nii.gz", "generic"),
        ("chest-xray/images/00000193_019.png", "chest-xray"),
    ],
)
def test_a_gpu_and_the_cpu_read_each_others_files(name: str, bundle: str, data_dir: Path) -> None:
    if not (data_dir / name).is_file():
        pytest.skip(f"needs {data_dir / name}")
    volume = deepstd.read(data_dir / name)
    codecs = [Codec.load(bundle, device=device) for device in ("cpu", "cuda")]
    for writer in codecs:
        data = writer.compress(volume, ratio=32)
        # Decompressing checks the hash of all latents.
        ours, theirs = (reader.decompress(data).voxels.astype(float) for reader in codecs)
        assert np.abs(ours - theirs).max() <= 1


@pytest.mark.usefixtures("only_tiny")
def test_the_command_takes_several(tmp_path: Path, phantom: Phantom) -> None:
    np.save(tmp_path / "scan.npy", phantom((20, 18, 9)))
    report = api.compress(tmp_path / "scan.npy", tmp_path / "scan.dstd", ratio=16, device="cpu,cpu")
    assert report.ratio >= 16
    api.decompress(tmp_path / "scan.dstd", tmp_path / "back.npy", device="cpu,cpu")
    assert api.verify(tmp_path / "scan.dstd", against=tmp_path / "scan.npy").as_stated


def test_one_worker_starts_no_thread() -> None:
    names = CPU.map(lambda device, part: threading.current_thread().name, range(2))
    assert set(names) == {threading.current_thread().name}
