"""Names of outputs.

scans ─┬ as a rule ─▶ the scan's own name
       ├ all metadata is kept ─▶ with date and description of a DICOM series before it
       └ anonymous ─ Pseudonyms ─▶ scan-… , translated back by a key file alone
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from deepstd.batch.past import Past
from deepstd.batch.pseudonyms import Pseudonyms, is_pseudonym
from deepstd.errors import InputError
from deepstd.io import KeptMetadata, Metadata, ScanSource


def output_names(
    scans: Sequence[ScanSource],
    metadata: KeptMetadata,
    past: Mapping[str, Past],
    pseudonyms: Pseudonyms | None,
) -> dict[str, str]:
    """Return the name of each output, by the name of its scan.

    A scan that an earlier release compressed under its own name keeps this name.

    Args:
        scans: all scans of the batch.
        metadata: kept metadata; titles of series are used where all metadata is kept.
        past: earlier results by the name of the output.
        pseudonyms: for an anonymous batch, else None.

    Raises:
        InputError: the output folder would mix pseudonyms and other names.
    """
    _check_unmixed(scans, past, pseudonyms is not None)
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


def _check_unmixed(
    scans: Sequence[ScanSource], past: Mapping[str, Past], is_anonymous: bool
) -> None:
    own = {scan.name for scan in scans}
    named = [name for name in past if not is_pseudonym(name) or name in own]
    if is_anonymous and named:
        raise InputError(
            "the output folder holds outputs and lines with names of their own, which "
            "--anonymous-names cannot take back. Choose another output folder"
        )
    if not is_anonymous and len(named) < len(past):
        raise InputError(
            "the output folder was made with --anonymous-names. Give it again, with the same key "
            "file, or choose another output folder"
        )
