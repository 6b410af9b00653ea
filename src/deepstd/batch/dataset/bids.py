"""The .bidsignore of a BIDS data set whose scans are compressed.

.bidsignore of the source ─ with_ours ─▶ with lines for our files ─ without_ours ─▶ as it was

Validators of BIDS know no .dstd files. Listed in .bidsignore they are passed over, and the rest of
the data set is checked as before.
"""

from __future__ import annotations

from deepstd.batch.dataset.names import README, REPORT, SUFFIX, SUMS, TABLE

MOST_BYTES = 1 << 20  # of a file that gets lines; a larger one is copied as it is
_MARK = b"# From here on by deepstd batch; deepstd restore takes it off again."
_LINES = (f"*{SUFFIX}", README, SUMS, TABLE, REPORT, "ledger*.jsonl")
_OURS = b"\n".join([_MARK, *(line.encode() for line in _LINES), b""])


def with_ours(before: bytes | None) -> bytes:
    """Return the content of a .bidsignore with lines for compressed scans.

    Args:
        before: content of the source's file; None where it has none.
    """
    return _OURS if before is None else before + b"\n" + _OURS


def without_ours(content: bytes) -> bytes | None:
    """Return the content without lines of ours; None where the source had no such file."""
    before, mark, _ = content.partition(_MARK)
    if not mark:
        return content
    return before.removesuffix(b"\n") if before else None
