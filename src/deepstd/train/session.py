"""What every way to start a training session needs, with nothing but torch installed.

"1h30m" ─▶ seconds        CHECKPOINT ─▶ free, or to be resumed
"""

from __future__ import annotations

import re
from pathlib import Path

from deepstd.errors import InputError, OutputExistsError

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")
_CHECKPOINT = "checkpoint.safetensors"


def seconds_of(text: str) -> float:
    """Seconds of a time such as 90, 90s, 20m or 1h30m; InputError for anything else."""
    match = _DURATION.fullmatch(text.strip().lower())
    seconds = 0.0
    if match is not None:
        hours, minutes, rest = match.groups()
        seconds = 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(rest or 0)
    if seconds <= 0:
        raise InputError(f"{text!r} is not a time such as 90s, 20m or 1h30m")
    return seconds


def keep_checkpoint(folder: Path, *, resume: bool) -> None:
    """Refuse to begin a new run over the checkpoint of another, or to go on without one.

    Raises:
        OutputExistsError: there is one, and it is not to be resumed.
        InputError: there is none to resume.
    """
    found = (folder / _CHECKPOINT).exists()
    if resume and not found:
        raise InputError(f"{folder}: no checkpoint to resume from. Begin without --resume")
    if found and not resume:
        raise OutputExistsError(
            f"{folder}: holds the checkpoint of a run. Go on with --resume, or choose another "
            "folder with --checkpoint"
        )
