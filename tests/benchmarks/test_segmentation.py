"""The network of the segmentation benchmark, and the tables of what it finds."""

from __future__ import annotations

import math
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("monai", reason="needs MONAI: pip install 'deepstd[evaluate]'")

import torch

from benchmarks.segmentation import rows as rows_module
from benchmarks.segmentation.__main__ import EXPERIMENTS
from benchmarks.segmentation.rows import ORIGINAL, Overlap, SegmentationRow, segmentation_section
from benchmarks.segmentation.segmenter import Segmenter, Task, _from_blocks, _to_blocks
from benchmarks.standing.results import Results, this_run
from benchmarks.standing.studies import STUDIES

BALL = Task({1: "ball"}, (16, 16, 12), (2, 2, 2))


def ball(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centre = rng.uniform(6, 10, 3)
    places = np.stack(np.meshgrid(*map(np.arange, (17, 15, 13)), indexing="ij"), -1)
    labels = (((places - centre) ** 2).sum(-1) < 16).astype(np.uint8)
    return labels * 90 + rng.normal(40, 10, labels.shape), labels


def test_blocks_come_back() -> None:
    images = torch.randn(2, 3, 8, 12, 4)
    for block in ((2, 2, 2), (4, 4, 1), (1, 1, 1)):
        blocks = _to_blocks(images, block)
        assert blocks.shape[1] == 3 * math.prod(block)
        assert torch.equal(_from_blocks(blocks, block), images)


def test_a_network_learns_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A second a step, however fast the machine is.
    clock = SimpleNamespace(process_time=count().__next__)
    monkeypatch.setattr("benchmarks.segmentation.segmenter.time", clock)
    segmenter = Segmenter(BALL)
    assert segmenter.train([ball(seed) for seed in range(8)], seconds=60) == 59
    image, labels = ball(99)
    found = segmenter(image)
    assert found.shape == labels.shape
    assert 2 * (found * labels).sum() / (found.sum() + labels.sum()) > 0.7
    segmenter.save(tmp_path / "net.safetensors")
    again = Segmenter.load(tmp_path / "net.safetensors", BALL)
    assert again.digest == segmenter.digest
    np.testing.assert_array_equal(again(image), found)
    assert (tmp_path / "net.safetensors").stat().st_size < 1_000_000


def test_nobody_is_trained_and_tested_on() -> None:
    for name, experiment in EXPERIMENTS.items():
        assert not set(experiment.train).intersection(STUDIES[name].scans)
    assert EXPERIMENTS["cardiac"].weights is None


def test_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "PATH", tmp_path / "segmentation.json")
    results = rows_module.open_results()
    for scan in ("a", "b"):
        exact = Overlap(1.0, 0.0, 0.9, 1.0)
        same = SegmentationRow("cardiac", scan, ORIGINAL, "lossless", 9, "", "net", {"x": exact})
        results.add(same, this_run())
        lost = Overlap(0.0, math.inf, 0.5, 2.0) if scan == "b" else Overlap(0.8, 3.0, 0.7, 4.0)
        for size in ("0.5 bpv", "0.25 bpv") if scan == "a" else ("0.5 bpv",):
            found = SegmentationRow("cardiac", scan, "SPERR", size, 9, "", "net", {"x": lost})
            results.add(found, this_run())
    refused = SegmentationRow("cardiac", "a", "SPERR", "0.125 bpv", None, "", "net", {})
    results.add(refused, this_run())
    results.save()
    assert rows_module.open_results().rows == results.rows
    text = segmentation_section()
    assert (
        "| SPERR | **0.400 / 3.00, 1 not found** | 0.800 / 3.00 (1 of 2) | none so small | – |"
        in text
    )
    assert "| the original | 0.900 / 1.00 | 0.900 / 1.00 |" in text
    assert "| SPERR | **0.600 / 3.00**" in text
    assert isinstance(results, Results)
