"""Study of other protocols; writes docs/other-protocols.md.

Usage: python -m benchmarks.protocols --work WORK [--minutes 10] [CASE …]

From the project's root. WORK holds scans and updated bundles; a run that was stopped goes on with
what is missing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.protocols import page, runs
from benchmarks.protocols.cases import CASES
from benchmarks.standing.studies import add_data_option


def main() -> None:
    """Measure what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], help="default: all")
    parser.add_argument("--work", type=Path, required=True, help="folder of scans and bundles")
    parser.add_argument("--minutes", type=float, default=10.0, help="time of each update")
    given = parser.parse_args()
    for key in given.cases or CASES:
        runs.measure(key, given.minutes, given.data, given.work)
        page.write()


if __name__ == "__main__":
    main()
