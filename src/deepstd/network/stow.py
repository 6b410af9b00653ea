"""Sending of DICOM files to a DICOMweb server by STOW-RS.

file ─ POST ─▶ Referenced or Failed SOP Sequence ─▶ None, or the reason of a failure

Each object has a request of its own, so that a refusal concerns it alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deepstd.io.dicomweb import client_of, reason_of
from deepstd.network.peers import Server

_NO_REASON = 0x0110  # processing failure


class Stow:
    """A DICOMweb server to send to.

    Args:
        server: its base URL.
    """

    def __init__(self, server: Server) -> None:
        self._client = client_of(server.url)

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
