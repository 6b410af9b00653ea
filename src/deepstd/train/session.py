"""Arguments of a training session: time and checkpoint folder, with torch alone installed.

"1h30m" ─▶ seconds        CHECKPOINT ─▶ new, or to resume
"""

from __future__ import annotations

import re
from pathlib import Path

from deepstd.errors import InputError, OutputExistsError

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")
_CHECKPOINT = "checkpoint.safetensors"


def seconds_of(text: str) -> float:
    """Convert a time such as 90, 90s, 20m or 1h30m to seconds.

    Raises:
        InputError: the text is no time above 0.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    seconds = 0.0
    if match is not None:
        hours, minutes, rest = match.groups()
        seconds = 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(rest or 0)
    if seconds <= 0:
        raise InputError(f"{text!r} is not a time such as 90s, 20m or 1h30m")
    return seconds


def keep_checkpoint(folder: Path, *, resume: bool) -> None:
    """Raise an error where a new run would replace a checkpoint, or none exists to resume.

    Raises:
        OutputExistsError: the folder holds a checkpoint and ``resume`` is False.
        InputError: the folder holds no checkpoint and ``resume`` is True.
    """
    found = (folder / _CHECKPOINT).exists()
    if resume and not found:
        raise InputError(f"{folder}: no checkpoint to resume from. Begin without --resume")
    if found and not resume:
        raise OutputExistsError(
            f"{folder}: holds the checkpoint of a run. Go on with --resume, or choose another "
            "folder with --checkpoint"
        )
