"""The standing benchmark: every codec on every scan of every study at every rate.

    studies × codecs × scans × rates ─ what is not known yet ─▶ results/*.json ─▶ docs/benchmark.md

Usage: python -m benchmarks.standing [STUDY …] [--codecs NAME,…] [--again NAME,…]

The same command goes on where it was interrupted. Rows of peers stay; a row of DeepSTD stays as
long as its bundle does, so after a bundle has changed the same command measures DeepSTD alone.
--again measures the named codecs anew whatever is known. --bundle and --limit are for trials: what
they measure is printed beside the known rows, and not kept.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence

from benchmarks.standing.measure import Asked, logger, measure
from benchmarks.standing.page import PAGE, StudyResults, page, study_section
from benchmarks.standing.studies import STUDIES, add_data_option
from deepstd import baselines
from deepstd.evaluate.cases import OUR_CODEC
from deepstd.evaluate.rows import OURS


def _trial(asked: Asked, found: dict[str, StudyResults]) -> Iterator[str]:
    """Tables of a trial: DeepSTD as measured now beside what is known of the same scans."""
    for name, results in found.items():
        scans = {case.scan for case in asked.cases() if case.study == name}
        rows = [row for row, _ in results.rows.values() if row.scan in scans]
        yield study_section(STUDIES[name], rows)


def _asked(arguments: Sequence[str] | None = None) -> Asked:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=", ".join(STUDIES))
    parser.add_argument("--codecs", default="", help=f"only these: {OUR_CODEC} is {OURS}")
    parser.add_argument("--again", default="", help="measure these anew")
    parser.add_argument("--bundle", help="a trial of another bundle: a name or folder")
    parser.add_argument("--limit", type=int, help="a trial of the first scans")
    add_data_option(parser)
    got = parser.parse_args(arguments)
    unknown = set(got.studies) - set(STUDIES)
    if unknown:
        parser.error(f"no study {', '.join(unknown)}: expected some of {', '.join(STUDIES)}")
    codecs, again = (frozenset(filter(None, t.split(","))) for t in (got.codecs, got.again))
    known = {OUR_CODEC, *baselines.LOSSY, *baselines.LOSSLESS}
    if unknown := (codecs | again) - known:
        parser.error(f"no codec {', '.join(unknown)}: expected some of {', '.join(sorted(known))}")
    return Asked(got.data, tuple(got.studies or STUDIES), codecs, again, got.bundle, got.limit)


def main() -> None:
    """Measure, then write the page."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    asked = _asked()
    found = measure(asked)
    if asked.keeps:
        PAGE.write_text(page(), encoding="utf-8")
        logger.info("%s", PAGE)
    else:
        sys.stdout.write("\n".join(_trial(asked, found)))


if __name__ == "__main__":
    main()
