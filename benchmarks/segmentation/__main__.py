"""Effect of compression on the segmentations that a network finds.

    training scans, labels ─ Segmenter.train ─▶ network
    test scan ─ codec, rate ─ restored ─ network ─▶ labels ─ Dice, HD95 ─▶ results/segmentation.json
                                  against those found on the original, and against the truth

Usage: python -m benchmarks.segmentation {hippocampus,cardiac} [--train] [--max-time 15m]

The hippocampus network is kept, so that codecs measured later meet the same one; --train makes
another. That of the cardiac scans is trained in every run and never kept: their licence allows no
more. Rows of a network, a bundle and a codec that are the same stay.
"""

from __future__ import annotations

import argparse
import functools
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.segmentation.rows import ORIGINAL, Overlap, SegmentationRow, open_results
from benchmarks.segmentation.segmenter import Segmenter, Task
from benchmarks.standing.competitors import Competitor, Ours, Peer, size_name
from benchmarks.standing.page import PAGE, page
from benchmarks.standing.results import this_run
from benchmarks.standing.studies import CARDIAC, RATES, STUDIES, Scan, add_data_option, split
from deepstd.cli.options import duration
from deepstd.errors import RateError
from deepstd.evaluate import dice, hd95
from deepstd.evaluate.rows import LOSSLESS
from deepstd.rate.target import Target

logger = logging.getLogger("segmentation")

_HERE = Path(__file__).resolve().parent
_PEERS = ("sperr", "jpeg2000-3d", "hevc-slow", "vvc")


@dataclass(frozen=True)
class Experiment:
    """A task, and who it is trained and tested on.

    Attributes:
        task: what the network finds.
        train: training scans; no patient of theirs is among the study's.
        weights: where the network is kept; None for never.
    """

    task: Task
    train: tuple[str, ...]
    weights: Path | None


EXPERIMENTS = {
    "hippocampus": Experiment(
        Task({1: "anterior", 2: "posterior"}, crop=(40, 56, 40), block=(2, 2, 2)),
        split("hippocampus-t1", "train"),
        _HERE / "hippocampus.safetensors",
    ),
    "cardiac": Experiment(
        Task(
            {1: "right ventricle", 2: "myocardium", 3: "left ventricle"},
            crop=(160, 160, 12),
            block=(4, 4, 1),
        ),
        tuple(name for name in split("cardiac-cine", "test") if name not in CARDIAC),
        None,
    ),
}


def network_of(experiment: Experiment, data: Path, seconds: float, *, train: bool) -> Segmenter:
    """The network that is kept, or one trained now."""
    if experiment.weights is not None and experiment.weights.is_file() and not train:
        return Segmenter.load(experiment.weights, experiment.task)
    segmenter = Segmenter(experiment.task)
    pairs = [(Scan.read(data, name).volume.voxels, truth(data, name)) for name in experiment.train]
    steps = segmenter.train(pairs, seconds)
    logger.info("%d steps on %d scans", steps, len(pairs))
    if experiment.weights is not None:
        segmenter.save(experiment.weights)
    return segmenter


def truth(data: Path, scan: str) -> np.ndarray:
    """Labels that a person drew."""
    return Scan.read(data, scan.replace("/images/", "/labels/")).volume.voxels


@dataclass(frozen=True)
class Measurement:
    """One network on the scans of one study."""

    study: str
    segmenter: Segmenter
    data: Path

    def original(self, name: str) -> SegmentationRow:
        """Return the row of an original: labels of the network against the truth."""
        scan = self._read(name)
        return self._row(scan, ORIGINAL, LOSSLESS, scan.volume.nbytes, "", scan.volume.voxels)

    def restored(self, name: str, codec: Competitor, target: Target) -> SegmentationRow:
        """Return the row of a restored scan; RateError where the size cannot be reached."""
        scan = self._read(name)
        answer = codec.answer(scan, target)
        return self._row(
            scan, codec.name, size_name(target), answer.nbytes, codec.model, answer.restored
        )

    def _row(
        self, scan: Scan, codec: str, size: str, nbytes: int, model: str, voxels: np.ndarray
    ) -> SegmentationRow:
        affine = scan.volume.affine
        spacing = [1.0] * 3 if affine is None else np.linalg.norm(affine[:3, :3], axis=0).tolist()
        before, drawn = self._found(scan.name), truth(self.data, scan.name)
        after = self.segmenter(voxels)
        overlaps = {}
        for label, name in self.segmenter.task.labels.items():
            figures: list[float] = []
            for other in (before, drawn):
                masks = after == label, other == label
                figures += [dice(*masks), hd95(*masks, spacing)]
            overlaps[name] = Overlap(*(round(figure, 4) for figure in figures))
        network = self.segmenter.digest
        return SegmentationRow(self.study, scan.name, codec, size, nbytes, model, network, overlaps)

    @functools.lru_cache(maxsize=1)  # noqa: B019  one measurement a process
    def _read(self, name: str) -> Scan:
        return Scan.read(self.data, name)

    @functools.lru_cache(maxsize=1)  # noqa: B019
    def _found(self, name: str) -> np.ndarray:
        return self.segmenter(self._read(name).volume.voxels)


def measure(study: str, data: Path, seconds: float, *, train: bool) -> None:
    """Train where needed, measure what is not known, and keep it."""
    segmenter = network_of(EXPERIMENTS[study], data, seconds, train=train)
    peers = [Peer(key) for key in _PEERS]
    codecs: list[Competitor] = [p for p in peers if p.missing() is None]
    codecs.append(Ours(STUDIES[study].bundle))
    here, results, today = Measurement(study, segmenter, data), open_results(), this_run()
    for codec in (None, *codecs):
        for name in STUDIES[study].scans if codec is None else codec.scans(STUDIES[study]):
            for target in (None,) if codec is None else RATES:
                key = name, ORIGINAL if codec is None else codec.name, size_name(target)
                known, _ = results.rows.get(key, (None, None))
                model = "" if codec is None else codec.model
                if known and (known.network, known.model) == (segmenter.digest, model):
                    continue
                try:
                    row = (
                        here.original(name)
                        if codec is None or target is None
                        else here.restored(name, codec, target)
                    )
                except RateError as error:
                    logger.info("%s", error)
                    row = SegmentationRow(study, *key, None, model, segmenter.digest, {})
                results.add(row, today)
            results.save()
        logger.info("%s", "original" if codec is None else codec.name)
    # Rows of an earlier network cannot stand beside these.
    for key, (row, _) in list(results.rows.items()):
        if row.study == study and row.network != segmenter.digest:
            del results.rows[key]
    results.save()


def main() -> None:
    """One study."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", choices=list(EXPERIMENTS))
    parser.add_argument("--train", action="store_true", help="train a network anew")
    parser.add_argument(
        "--max-time", type=duration, default="15m", help="of the processor, to train"
    )
    add_data_option(parser)
    asked = parser.parse_args()
    measure(asked.study, asked.data, asked.max_time, train=asked.train)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
