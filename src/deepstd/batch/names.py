"""How outputs are called.

scans ─┬ as a rule ─▶ the scan's own name
       ├ all metadata is kept ─▶ with date and description of a DICOM series before it
       └ anonymous ─ Pseudonyms ─▶ scan-… , told apart by a key file alone
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from deepstd.batch.past import Past
from deepstd.batch.pseudonyms import Pseudonyms
from deepstd.io import Metadata, ScanSource


def output_names(
    scans: Sequence[ScanSource],
    metadata: Metadata,
    past: Mapping[str, Past],
    pseudonyms: Pseudonyms | None,
) -> dict[str, str]:
    """Names of outputs by names of scans.

    A scan that was done under its own name, by an earlier release, keeps it.
    """
    if pseudonyms is not None:
        return {scan.name: pseudonyms.of(scan.name) for scan in scans}
    if metadata is not Metadata.ALL:
        return {scan.name: scan.name for scan in scans}
    titled = {scan.name: scan.name if scan.name in past else _titled(scan) for scan in scans}
    shared = Counter([*titled.values(), *(name for name in titled if titled[name] != name)])
    return {name: title if shared[title] == 1 else name for name, title in titled.items()}


def _titled(scan: ScanSource) -> str:
    if not scan.title:
        return scan.name
    folder, slash, last = scan.name.rpartition("/")
    return f"{folder}{slash}{scan.title}_{last}"
