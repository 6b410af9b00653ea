"""Training on two processes: one network, in both of them the same."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from deepstd.codec.codec import Codec
from deepstd.train.cache import CachedScan, read_cache, write_cache
from deepstd.train.config import TrainConfig
from deepstd.train.distributed import ALONE
from deepstd.train.finish import write_bundle
from deepstd.train.run import train
from deepstd.volume import Volume

RUN = """
name = "two"
ndims = [3]
template = true
widths_3d = [6, 6]
filter_3d = [4, 1]
crop_3d = 16
batch = 1
"""
# What a process was left with, for the test to compare.
WORKER = """
import sys
from pathlib import Path
import numpy as np
from deepstd.train.cache import read_cache
from deepstd.train.checkpoint import load_checkpoint
from deepstd.train.config import TrainConfig
from deepstd.train.distributed import joined
from deepstd.train.run import train

cache, config, checkpoint, out = map(Path, sys.argv[1:])
with joined("cpu") as group:
    trained = train(
        read_cache(cache), TrainConfig.read(config), checkpoint,
        total_seconds=8.0, session_seconds=1e6, device="cpu", group=group,
    )
    weights = {n: p.detach().numpy() for n, p in trained.networks[3].named_parameters()}
    group.wait()  # for the first process to have written it
    steps = load_checkpoint(checkpoint, TrainConfig.read(config), "cpu").states[3].steps
    np.savez(out / f"{group.rank}.npz", seconds=trained.seconds[3], steps=steps, **weights)
"""


def scan(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1, 1, 20)] * 3, indexing="ij")
    distance = np.sqrt(sum((a - random.uniform(-0.2, 0.2)) ** 2 for a in axes))
    values = 500 + 200 * np.tanh(8 * (0.6 - distance)) + 5 * random.normal(size=distance.shape)
    return np.rint(values).astype(np.int16)


def torchrun(*arguments: object) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*command, "--nproc-per-node", "2", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_two_processes_train_one_network(tmp_path: Path) -> None:
    cache, config, kept = tmp_path / "cache", tmp_path / "run.toml", tmp_path / "checkpoint"
    affine = np.eye(4)
    splits = ["train", "train", "train", "validation"]
    write_cache(
        cache, [CachedScan(f"{n}", f"{n}", s, scan(n), affine) for n, s in enumerate(splits)]
    )
    config.write_text(RUN, encoding="utf-8")
    (tmp_path / "worker.py").write_text(WORKER, encoding="utf-8")
    torchrun(tmp_path / "worker.py", cache, config, kept, tmp_path)
    first, second = (np.load(tmp_path / f"{rank}.npz") for rank in (0, 1))
    assert first["steps"] > 0
    assert first["seconds"] >= 0.4 * 8.0  # the share that no other work may take
    for name in first.files:
        assert np.isfinite(first[name]).all()
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    # The command trains that run for longer, and one process makes the bundle.
    arguments = ["-m", "deepstd.train", cache, "--config", config, "--checkpoint", kept]
    torchrun(*arguments, "--max-time", "12s", "--resume")
    run = TrainConfig.read(config)
    trained = train(
        read_cache(cache), run, kept, total_seconds=12.0, session_seconds=1e6, resume=True
    )
    assert trained.finished
    figures = [value for entry in trained.history[3] for value in entry.values()]
    assert all(map(math.isfinite, figures))
    write_bundle(trained, run, read_cache(cache), tmp_path / "bundle")
    codec, volume = Codec.load(str(tmp_path / "bundle"), device="cpu"), Volume(scan(9), affine)
    restored = codec.decompress(codec.compress(volume, bpv=2.0)).voxels
    assert np.abs(restored.astype(float) - volume.voxels).mean() < 40


def test_one_process_changes_nothing() -> None:
    network = torch.nn.Linear(3, 2)
    network(torch.ones(1, 3)).sum().backward()
    before = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    ALONE.average_gradients(network)
    for parameter, gradient in zip(network.parameters(), before, strict=True):
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, gradient)
    assert ALONE.first(2.5) == 2.5
    assert ALONE.seed == 0
