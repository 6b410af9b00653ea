"""Which template serves best: one scan, or an average, and which (paper, "Selecting template").

training scans ─┬─ widest imaging range, artefacts excluded ─┐
                ├─ one at random                             ├─▶ templates with labels
                ├─ mean after affine alignment to the widest │      │
                └─ mean after registration to that mean ─────┘      ▼
test scans ─ register_pair to each ─▶ NCC, Dice of the template's labels ─▶ table, JSON

python benchmarks/registration/template_selection.py DATA --train 24 --test 10
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from deepstd import io
from deepstd.overlap import dice
from deepstd.registration.pair import PairSettings, register_pair

_HERE = Path(__file__).resolve().parents[1]
_RESULTS = _HERE / "results" / "template-selection.json"
_LABELS = (1, 2)
_CLEAN_SHARE = 0.9


@dataclass(frozen=True, eq=False)
class Subject:
    """A scan at mean 0 and variance 1, with labels of its structures."""

    name: str
    voxels: np.ndarray
    affine: np.ndarray
    labels: np.ndarray


def load(data: Path, place: str) -> Subject:
    """A hippocampus crop of the splits."""
    scan = io.read(data / place)
    assert scan.affine is not None
    voxels = scan.voxels.astype(np.float32)
    labels = io.read(data / place.replace("/images/", "/labels/")).voxels
    return Subject(place, (voxels - voxels.mean()) / voxels.std(), scan.affine, labels)


def roughness(voxels: np.ndarray) -> float:
    """How much of a scan changes from voxel to voxel: noise, motion and cut edges raise it."""
    return float(ndimage.laplace(voxels).std() / voxels.std())


def widest(subjects: Sequence[Subject]) -> Subject:
    """The scan of the largest extent among those that are not the roughest."""
    rough = [roughness(subject.voxels) for subject in subjects]
    limit = np.quantile(rough, _CLEAN_SHARE)
    clean = [s for s, r in zip(subjects, rough, strict=True) if r <= limit]
    return max(clean, key=lambda s: s.voxels.size * abs(np.linalg.det(s.affine[:3, :3])))


def average(name: str, onto: Subject, subjects: Sequence[Subject], *, fields: bool) -> Subject:
    """Mean of scans registered to one, and what most of their labels say."""
    settings = PairSettings(affine_only=not fields)
    total = np.zeros(onto.voxels.shape)
    votes = np.zeros((1 + max(_LABELS), *onto.voxels.shape))
    for subject in subjects:
        transform, _ = register_pair(
            subject.voxels, subject.affine, onto.voxels, onto.affine, settings
        )
        total += transform.warp(subject.voxels)
        warped = transform.warp(subject.labels, nearest=True)
        for label in range(len(votes)):
            votes[label] += warped == label
    mean = (total / len(subjects)).astype(np.float32)
    return Subject(name, mean, onto.affine, votes.argmax(0).astype(np.uint8))


def measured(template: Subject, subjects: Sequence[Subject]) -> dict[str, float]:
    """How well test scans register to a template."""
    rows = []
    for subject in subjects:
        transform, report = register_pair(
            subject.voxels, subject.affine, template.voxels, template.affine
        )
        warped = transform.warp_back(template.labels, nearest=True)
        overlap = np.mean([dice(subject.labels == k, warped == k) for k in _LABELS])
        rows.append(
            (report.ncc_before, report.ncc_after, overlap, report.folding_percent, report.seconds)
        )
    names = ("ncc_before", "ncc_after", "dice", "folding_percent", "seconds")
    return dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))


def main() -> None:
    """Print one line a template and keep the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--train", type=int, default=24)
    parser.add_argument("--test", type=int, default=10)
    arguments = parser.parse_args()
    split = json.loads((_HERE / "splits.json").read_text(encoding="utf-8"))["hippocampus-t1"]
    train = [load(arguments.data, place) for place in split["train"][: arguments.train]]
    test = [load(arguments.data, place) for place in split["test"][: arguments.test]]
    wide = widest(train)
    mean = average("mean after affine alignment", wide, train, fields=False)
    group = average("group-wise average", mean, train, fields=True)
    chance = train[int(np.random.default_rng(0).integers(len(train)))]
    templates = {"widest range": wide, "random": chance, mean.name: mean, group.name: group}
    rows = {"train": len(train), "test": len(test), "templates": {}}
    for name, template in templates.items():
        rows["templates"][name] = measured(template, test)
        print(name, {k: round(v, 4) for k, v in rows["templates"][name].items()}, flush=True)
    _RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
