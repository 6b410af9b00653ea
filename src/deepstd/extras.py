"""Optional packages: the line that installs what a request needs.

request ─ check_torch, check_scipy … ─▶ nothing, or MissingExtraError with the command to type
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

from deepstd.errors import MissingExtraError


def has_torch() -> bool:
    """Return whether PyTorch is installed, without importing it."""
    return _has("torch")


def check_anywidget(what: str) -> None:
    """Raise an error where anywidget, for notebooks, is not installed.

    Args:
        what: what needs it, as the subject of the message.

    Raises:
        MissingExtraError: anywidget is not installed.
    """
    if not _has("anywidget"):
        raise MissingExtraError(f'{what} needs anywidget: pip install "deepstd[view]"')


def check_scipy(what: str, extra: str) -> None:
    """Raise an error where SciPy is not installed.

    Args:
        what: what needs it, as the subject of the message.
        extra: extra of this package that brings it.

    Raises:
        MissingExtraError: SciPy is not installed.
    """
    if not _has("scipy"):
        raise MissingExtraError(f'{what} needs SciPy: pip install "deepstd[{extra}]"')


def check_h5py(what: str) -> None:
    """Raise an error where h5py is not installed.

    Args:
        what: what needs it, as the subject of the message.

    Raises:
        MissingExtraError: h5py is not installed.
    """
    if not _has("h5py"):
        raise MissingExtraError(f'{what} needs h5py: pip install "deepstd[hdf5]"')


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


def check_package(package: str, title: str, what: str, extra: str) -> None:
    """Raise an error where a package that an integration belongs to is not installed.

    Args:
        package: name by which Python imports it.
        title: its name in messages.
        what: what needs it, as the subject of the message.
        extra: extra of this package that brings it.

    Raises:
        MissingExtraError: the package is not installed.
    """
    if not _has(package):
        raise MissingExtraError(f'{what} needs {title}: pip install "deepstd[{extra}]"')


def _has(package: str) -> bool:
    if package in sys.modules:
        return sys.modules[package] is not None
    return find_spec(package) is not None
