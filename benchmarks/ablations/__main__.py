"""What parts of the texture stage are worth; writes docs/ablations.md.

    parts left out of a finished codec: whole files at four rates (`left_out`)
    parts that take training to tell: --train, test scans at four steps (`trained`, `parts`)

Usage: python -m benchmarks.ablations STUDY [--scans 8] [--only VARIANT …] [--other NAME=FOLDER …]
       python -m benchmarks.ablations STUDY --train MINUTES [--only VARIANT …]

STUDY is one of the standing benchmark; --train needs one with a template. --other measures another
bundle beside the study's, such as one of the autoencoder. A run that was stopped goes on with what
is missing.
"""

from __future__ import annotations

import argparse

from benchmarks.ablations import left_out, page, trained
from benchmarks.standing.studies import STUDIES, add_data_option


def main() -> None:
    """Measure what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("study", choices=tuple(STUDIES))
    parser.add_argument("--scans", type=int, default=8, help="number of test scans")
    parser.add_argument("--other", action="append", default=[], help="NAME=FOLDER of a bundle")
    parser.add_argument(
        "--train", type=float, metavar="MINUTES", help="CPU time for each variant to be trained"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        help="variants, besides that which they are compared with; all if none are given",
    )
    given = parser.parse_args()
    known = trained.VARIANTS if given.train else left_out.VARIANTS
    if unknown := set(given.only) - set(known):
        parser.error(f"no variant {', '.join(unknown)}: there are {', '.join(known)}")
    if given.train and given.study not in trained.STUDIES_TRAINED:
        parser.error(f"--train is for {' and '.join(trained.STUDIES_TRAINED)}")
    if given.train:
        trained.measure(given.study, given.train, given.only, given.data)
    else:
        variants = dict(left_out.VARIANTS)
        if given.only:
            variants = {name: variants[name] for name in (left_out.REFERENCE, *given.only)}
        for option in given.other:
            variants |= left_out.of_bundle(*option.split("="))
        left_out.measure(given.study, variants, given.scans, given.data)
    page.write()


if __name__ == "__main__":
    main()
