"""Optional packages: the line that installs what a request needs.

request ─ check_torch ─▶ nothing, or MissingExtraError with the command to type
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

from deepstd.errors import MissingExtraError


def has_torch() -> bool:
    """Return whether PyTorch is installed, without importing it."""
    if "torch" in sys.modules:
        return sys.modules["torch"] is not None
    return find_spec("torch") is not None


def check_torch(what: str, extra: str) -> None:
    """Raise an error where PyTorch is not installed.

    Args:
        what: what needs it, as the subject of the message.
        extra: extra of this package that brings it, "train" or "gpu".

    Raises:
        MissingExtraError: PyTorch is not installed.
    """
    if not has_torch():
        raise MissingExtraError(f'{what} needs PyTorch: pip install "deepstd[{extra}]"')
