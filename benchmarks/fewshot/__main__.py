"""The paper's experiment with few scans; writes docs/few-scans.md.

    all scans · N scans: plain, augment, teacher, both ─ each for the same CPU time ─▶ table, plot

Usage: python -m benchmarks.fewshot STUDY --minutes 10 --work WORK [--counts 15,30] [--only both …]
       python -m benchmarks.fewshot STUDY --minutes 10 --work WORK --choose 0.015,0.03,0.06

--choose trains the first number of scans with deformations of each strength and prints their bits
on validation scans; nothing is kept. A run that was stopped goes on with what is missing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.fewshot import page, runs
from benchmarks.fewshot.studies import AUGMENT, DEFAULT_STRENGTH, PLAIN, STUDIES, VARIANTS
from benchmarks.standing.studies import add_data_option
from deepstd.texture.kinds import LIFTING, TRANSFORMS


def main() -> None:
    """Measure what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("study", choices=tuple(STUDIES))
    parser.add_argument("--minutes", type=float, required=True, help="CPU time of each network")
    parser.add_argument("--work", type=Path, required=True, help="folder of networks and templates")
    parser.add_argument("--counts", default="", help="numbers of scans; default: the study's")
    parser.add_argument("--only", action="append", choices=VARIANTS, default=[])
    parser.add_argument("--transform", choices=TRANSFORMS, default=LIFTING)
    parser.add_argument("--strength", type=float, default=DEFAULT_STRENGTH)
    parser.add_argument("--choose", default="", metavar="S,S,…", help="strengths to compare")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    study = STUDIES[given.study]
    counts = [int(n) for n in given.counts.split(",") if n] or list(study.counts)
    if given.choose:
        strengths = [float(text) for text in given.choose.split(",")]
        _choose(given, counts[0], strengths)
        return
    everything = len(study.scans("train"))
    wanted = [(everything, PLAIN)]
    wanted += [(count, name) for count in counts for name in given.only or VARIANTS]
    for count, variant in wanted:
        runs.measure(
            given.study,
            given.transform,
            count,
            variant,
            given.minutes,
            given.strength,
            given.data,
            given.work,
        )
        page.write()


def _choose(given: argparse.Namespace, count: int, strengths: list[float]) -> None:
    """Print what each strength needs more on validation scans than no deformation."""
    study = STUDIES[given.study]
    bench = runs.prepared(study, count, given.data, given.work)
    plain: dict[str, list[tuple[float, float]]] = {}
    for strength in [0.0, *strengths]:
        config = study.settings(AUGMENT, given.transform, strength)
        network, steps = runs.trained(bench, config, given.minutes, None, f"strength {strength:g}")
        found = runs.points(network, bench.validation, study.steps, config)
        plain = plain or found
        print(f"strength {strength:g}: {steps} steps, {page.change(plain, found):+.2f} % bits")


if __name__ == "__main__":
    main()
