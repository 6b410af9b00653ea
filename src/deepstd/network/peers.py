"""Targets of sending: a DICOM node, or a DICOMweb server.

"PACS@10.0.0.7:104" ─▶ Peer · "https://pacs/dicom-web" ─▶ Server
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from deepstd.errors import InputError
from deepstd.io import is_url, shown
from deepstd.io.dicomweb import check_server
from deepstd.network.extra import require_pynetdicom

ANY_TITLE = "ANY-SCP"
_PEER = re.compile(r"(?:([^@]+)@)?(\[[0-9A-Fa-f:.]+\]|[^@:/\s]+):([0-9]{1,5})")
_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}")
_MOST_PORT = 65535


@dataclass(frozen=True)
class Peer:
    """A DICOM node: host, port and application entity title."""

    host: str
    port: int
    title: str

    def check(self) -> None:
        """Raise a MissingExtraError where pynetdicom is missing."""
        require_pynetdicom("sending to a DICOM node")


@dataclass(frozen=True)
class Server:
    """A DICOMweb server, by its base URL."""

    url: str

    def check(self) -> None:
        """Raise an InputError for a malformed URL, a MissingExtraError without the client."""
        check_server(self.url)


def target_of(text: str) -> Peer | Server:
    """Parse a target.

    Raises:
        InputError: it is none.
    """
    if is_url(text):
        if not text.lower().startswith(("http://", "https://")):
            raise InputError(f"{shown(text)}: is no DICOMweb server. Give a URL with https://")
        return Server(text)
    match = _PEER.fullmatch(text.strip())
    if match is None or not 1 <= int(match[3]) <= _MOST_PORT:
        raise InputError(
            f"{text}: is no node. Give HOST:PORT, AET@HOST:PORT or the URL of a DICOMweb server"
        )
    return Peer(match[2].strip("[]"), int(match[3]), title_of(match[1] or ANY_TITLE))


def title_of(text: str) -> str:
    r"""Return an application entity title: 1 to 16 printable characters without \.

    Raises:
        InputError: it is none.
    """
    if _TITLE.fullmatch(text) is None or not text.strip():
        raise InputError(f"{text!r}: is no AE title: 1 to 16 letters and digits, such as ARCHIVE")
    return text.strip()
