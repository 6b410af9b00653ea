"""The paper's figures and tables beside what is measured here; writes docs/paper.md.

    benchmarks/results/*.json ─▶ docs/paper.md, docs/pictures/paper-*.svg

Usage: python -m benchmarks.paper [--measure-scale] [--data DATA]

--measure-scale first measures what scans of 1 to 72 million voxels and jobs of a batch cost, about
six minutes of one core, and keeps it in benchmarks/results/scale.json.
"""

from __future__ import annotations

import argparse

from benchmarks.paper import page, scale
from benchmarks.standing.studies import add_data_option


def main() -> None:
    """Measure where asked, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--measure-scale", action="store_true", help="measure the costs anew")
    add_data_option(parser)
    given = parser.parse_args()
    if given.measure_scale:
        scale.measure(given.data)
    page.write()


if __name__ == "__main__":
    main()
