"""The optional packages of the network.

request ─ require_pynetdicom, require_dicomweb ─▶ nothing, or MissingExtraError
"""

from __future__ import annotations

from deepstd.errors import MissingExtraError

_INSTALL = 'pip install "deepstd[network]"'


def require_pynetdicom(what: str) -> None:
    """Raise an error where pynetdicom is missing.

    Args:
        what: what needs it, as the subject of the message.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pynetdicom  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(f"{what} needs pynetdicom: {_INSTALL}") from error
