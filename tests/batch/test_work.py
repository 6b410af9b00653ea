"""The worker: scans that it refuses before it compresses, and the hash of a scan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from deepstd.batch.case import Case, Request, fingerprint
from deepstd.batch.work import Compressor, Outcome
from deepstd.codec import choice
from deepstd.container import parse
from deepstd.io import Metadata, discover
from deepstd.rate.target import Target


@pytest.fixture
def compress(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Outcome, list[Target]]]:
    """compress(voxels, target): the outcome of a .nii.gz scan, and the sizes that were tried."""

    def run(voxels: np.ndarray, target: Target) -> tuple[Outcome, list[Target]]:
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "a.nii.gz")
        (scan,) = discover(tmp_path).scans
        tried: list[Target] = []

        def encode(volume: Any, asked: Target, *arguments: Any, **options: Any) -> Any:
            tried.append(asked)
            raise ValueError("not now")

        monkeypatch.setattr(choice, "best_encoding", encode)
        worker = Compressor(Request(target, "auto"), str(tiny_bundle), "cpu")
        assert worker.start(1) is None
        return worker.run(Case(scan, tmp_path, "")), tried

    return run


def test_a_scan_whose_files_are_smaller_than_what_is_asked_for_is_not_compressed(
    compress: Callable[..., tuple[Outcome, list[Target]]],
) -> None:
    mostly_zero = np.zeros((40, 40, 40), np.int16)
    mostly_zero[0, 0] = np.arange(1, 41) * 7  # no map of labels, which is small at any size
    for target in (Target(ratio=2), Target(bpv=8), Target(max_bytes=100_000)):
        outcome, tried = compress(mostly_zero, target)
        assert outcome.error is not None
        assert "more than the" in outcome.error
        assert tried == []


def test_other_scans_are(compress: Callable[..., tuple[Outcome, list[Target]]]) -> None:
    noise = np.random.default_rng(0).integers(0, 9999, (12, 12, 12)).astype(np.int16)
    constant = np.full((40, 40, 40), 7, np.int16)
    for voxels in (noise, constant):  # of one value a few bytes are made, whatever is asked for
        outcome, tried = compress(voxels, Target(ratio=2))
        assert outcome.error is not None
        assert "not now" in outcome.error
        assert tried == [Target(ratio=2)]


def test_a_label_map_that_no_header_declares_is_compressed_at_any_size(
    compress: Callable[..., tuple[Outcome, list[Target]]],
) -> None:
    places = np.indices((40, 40, 40)) - 20
    labels = (np.square(places).sum(0) < 200).astype(np.uint8) + (places[0] > 8)
    outcome, tried = compress(labels, Target(ratio=2))
    assert outcome.error is not None
    assert "not now" in outcome.error
    assert tried == [Target(ratio=2)]


def test_what_is_told_of_a_scan_has_its_fingerprint(
    tmp_path: Path, tiny_bundle: Path, phantom: Callable[..., np.ndarray]
) -> None:
    np.save(tmp_path / "a.npy", phantom((18, 16, 12)))
    case = Case(discover(tmp_path).scans[0], tmp_path, "")
    worker = Compressor(Request(Target(ratio=16), "auto", "fast"), str(tiny_bundle), "cpu")
    assert worker.start(1) is None
    outcome = worker.run(case)
    assert outcome.data is not None
    assert outcome.figures["source_hash"] == fingerprint(case.read(Metadata.DEIDENTIFIED))
    assert outcome.figures["file_bytes"] == parse(outcome.data, "a").nbytes
