"""Registration beside its peers, on held-out scans.

    train STUDY ─▶ WORK/*.pt: weights of the learned peers, which are kept nowhere else
    measure STUDY ─▶ benchmarks/results/registration.json ─▶ docs/registration.md
    page ─▶ docs/registration.md alone

Usage: python -m benchmarks.registration {train,measure,page} [hippocampus|cardiac|template]

Needs `pip install itk-elastix antspyx`. Methods take turns on every pair, with one thread each.
`measure` goes on where it stopped, and measures what is there already only with --again; --only
names methods by a part of their names.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.registration.measure import Row
    from benchmarks.registration.method import Method
    from benchmarks.registration.pairs import Scan

logger = logging.getLogger("registration")

_ONE_THREAD = ("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_TEMPLATE = "template"
_VOTERS = "validation"


def train(study_name: str, data: Path, work: Path, minutes: float) -> None:
    """Train the learned peers of a study."""
    import torch

    from benchmarks.registration.catalogue import weights_path
    from benchmarks.registration.elastix import Affine
    from benchmarks.registration.learned import CANVASES, KINDS, train, training_images
    from benchmarks.registration.pairs import read_scan, studies

    canvas = CANVASES[study_name]
    scans = [read_scan(data, name) for name in studies()[study_name].training]
    images = training_images(scans, canvas, Affine())
    logger.info("%d training scans laid on the first", len(images))
    work.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        network = train(kind, images, canvas, minutes)
        torch.save(network.state_dict(), weights_path(work, study_name, kind))


def measure(asked: argparse.Namespace) -> None:
    """Measure the methods of a study, pair by pair, and write results and page."""
    from benchmarks.registration import page, results
    from benchmarks.registration.measure import measure

    pairs, methods = _template_work(asked) if asked.study == _TEMPLATE else _pair_work(asked)
    methods = [m for m in methods if not asked.only or any(o in m.name for o in asked.only)]
    kept = {} if asked.limit else {row.key: row for row in results.load().rows}
    rows: list[Row] = []
    warm: set[str] = set()
    for moving, fixed in pairs[: asked.limit]:
        for method in methods:
            key = (asked.study, moving.name, fixed.name, method.name)
            if key in kept and not asked.again:
                continue
            if method.name not in warm:
                # Libraries load parts of themselves, and torch its threads, at the first call.
                method.register(moving, fixed)
                warm.add(method.name)
            row = measure(asked.study, method, moving, fixed)
            rows.append(row)
            logger.info(
                "%s %s: Dice %.4f, %.2f s", fixed.name, row.method, row.mean_dice, row.cpu_seconds
            )
        if asked.limit is None:
            results.save(list((kept | {row.key: row for row in rows}).values()))
    if asked.limit is None:
        page.write(results.load())
    else:
        sys.stdout.write(page.study_table(rows) + "\n")


def _pair_work(asked: argparse.Namespace) -> tuple[list[tuple[Scan, Scan]], list[Method]]:
    from benchmarks.registration.catalogue import pair_methods
    from benchmarks.registration.pairs import read_scan, studies

    study = studies()[asked.study]
    pairs = [(read_scan(asked.data, a), read_scan(asked.data, b)) for a, b in study.pairs]
    return pairs, pair_methods(asked.study, asked.work)


def _template_work(asked: argparse.Namespace) -> tuple[list[tuple[Scan, Scan]], list[Method]]:
    from benchmarks.registration import template
    from benchmarks.registration.catalogue import template_methods
    from benchmarks.registration.pairs import hippocampus, read_scan

    shape = template.load(asked.bundle)
    voters = (read_scan(asked.data, name) for name in hippocampus(_VOTERS))
    moving = template.template_of(shape, voters)
    pairs = [(moving, read_scan(asked.data, name)) for name in hippocampus("test")]
    return pairs, template_methods(shape)


def main() -> int:
    """Run one sub-command."""
    beside = Path(__file__).resolve().parents[3]
    data = os.environ.get("DEEPSTD_DATA", beside / "shared" / "data")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["train", "measure", "page"])
    parser.add_argument("study", nargs="?", choices=["hippocampus", "cardiac", _TEMPLATE])
    parser.add_argument("--data", type=Path, default=Path(data), help="folder of the scans")
    parser.add_argument("--work", type=Path, help="folder for weights of learned peers")
    parser.add_argument("--max-time", type=float, default=10, help="CPU minutes of each training")
    parser.add_argument("--limit", type=int, help="only the first pairs; nothing is kept")
    parser.add_argument("--only", nargs="+", help="only methods whose name has one of these parts")
    parser.add_argument("--again", action="store_true", help="measure what is measured, too")
    parser.add_argument("--bundle", default="hippocampus-t1", help="for the template study")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if asked.command == "page":
        from benchmarks.registration import page, results

        page.write(results.load())
        return 0
    for name in _ONE_THREAD:
        os.environ[name] = "1"
    import torch

    torch.set_num_threads(1)
    if asked.study is None:
        parser.error(f"{asked.command} needs a study")
    if asked.command == "measure":
        measure(asked)
    elif asked.work is None or asked.study == _TEMPLATE:
        parser.error("train needs hippocampus or cardiac, and --work")
    else:
        train(asked.study, asked.data, asked.work, asked.max_time)
    return 0


if __name__ == "__main__":
    sys.exit(main())
