"""Which device computes.

"auto" ─▶ a GPU where there is one, else the CPU        "cuda:1" ─▶ that GPU, or DeviceError
"""

from __future__ import annotations

import torch

from deepstd.errors import DeviceError


def device_named(name: str) -> torch.device:
    """The device of a name: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        DeviceError: it is of another kind, or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.partition(":")[0] not in ("cpu", "cuda"):
        raise DeviceError(f"device {name!r} is not supported: use auto, cpu, cuda or cuda:N")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise DeviceError(f"device {name!r} is not available: {reason}. Use cpu or auto") from error
    return device
