"""What every way to start a training session needs, with nothing but torch installed.

"1h30m" ─▶ seconds        "auto" ─▶ device        CHECKPOINT ─▶ free, or to be resumed
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from deepstd.errors import DeviceError, InputError, OutputExistsError

if TYPE_CHECKING:
    import torch

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


def device_named(name: str) -> torch.device:
    """The device to train on; "auto" is a GPU where there is one.

    Raises:
        DeviceError: it is not there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise DeviceError(f"device {name!r} is not available: {reason}. Use cpu or auto") from error
    return device


def keep_checkpoint(folder: Path, *, resume: bool) -> None:
    """Refuse to begin a new run over the checkpoint of another.

    Raises:
        OutputExistsError: there is one, and it is not to be resumed.
    """
    if (folder / _CHECKPOINT).exists() and not resume:
        raise OutputExistsError(
            f"{folder}: holds the checkpoint of a run. Go on with --resume, or choose another "
            "folder with --checkpoint"
        )
