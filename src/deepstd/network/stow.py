"""Sending of DICOM files to a DICOMweb server by STOW-RS.

file ─ POST ─▶ Referenced or Failed SOP Sequence ─▶ None, or the reason of a failure

Each object has a request of its own, so that a refusal concerns it alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepstd.io.dicomweb import connected, reason_of
from deepstd.network.peers import Server

if TYPE_CHECKING:
    from dicomweb_client import DICOMwebClient

_NO_REASON = 0x0110  # processing failure


@contextmanager
def stowing(server: Server) -> Iterator[Stow]:
    """Yield a server to send to, within a block."""
    with connected(server.url) as client:
        yield Stow(client)


class Stow:
    """A DICOMweb server to send to.

    Args:
        client: open client of the server.
    """

    def __init__(self, client: DICOMwebClient) -> None:
        self._client = client

    def send(self, path: Path) -> str | None:
        """Send a file; return the reason where the server has not taken it, else None."""
        from pydicom import dcmread

        try:
            answer: Any = self._client.store_instances([dcmread(path)])
        except Exception as error:  # requests and the client raise many kinds
            return reason_of(error)
        failed = answer.get("FailedSOPSequence") or []
        if failed:
            return f"refused with status {int(failed[0].get('FailureReason', _NO_REASON)):04X}"
        if not answer.get("ReferencedSOPSequence"):
            return "the server does not say that it has stored the object"
        return None
