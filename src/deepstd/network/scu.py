"""Sending of DICOM files to a node by C-STORE.

files ─ classes ─▶ association ─ C-STORE ─▶ status ─▶ None, or the reason of a failure
            └ it breaks off ─▶ a new one for the next object
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from deepstd.errors import InputError
from deepstd.network.closing import closing_handlers
from deepstd.network.extra import require_pynetdicom
from deepstd.network.peers import Peer
from deepstd.network.tls import reason_of

_MOST_CLASSES = 128  # presentation contexts of an association
_SUCCESS, _WARNINGS = 0x0000, range(0xB000, 0xC000)
_CONNECT_SECONDS, _ANSWER_SECONDS = 30.0, 60.0
_MOST_LOST = 3  # associations that break off before the node counts as gone


class Association:
    """An association with a node, within a block.

    Args:
        peer: the node.
        calling: application entity title of this side.
        paths: files that will be sent; their classes are proposed.
        context: encrypts the connection; None for one without TLS.
    """

    def __init__(
        self,
        peer: Peer,
        calling: str,
        paths: Sequence[Path],
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._peer, self._calling, self._paths = peer, calling, paths
        self._context = context
        self._open: Any = None
        self._lost = 0

    def __enter__(self) -> Association:
        """Connect.

        Raises:
            InputError: the node cannot be reached or refuses.
            MissingExtraError: pynetdicom is not installed.
        """
        self._connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._open is not None and self._open.is_established:
            if kind is None:
                self._open.release()
            else:
                self._open.abort()

    def send(self, path: Path) -> str | None:
        """Send a file; return the reason where the node has not taken it, else None."""
        from pydicom import dcmread

        dataset = dcmread(path)
        status = self._answer_to(dataset)
        if isinstance(status, str):
            return status
        if status.Status == _SUCCESS or status.Status in _WARNINGS:
            return None
        comment = str(status.get("ErrorComment") or "").strip()
        return f"refused with status {status.Status:04X}{': ' + comment if comment else ''}"

    def _answer_to(self, dataset: Any) -> Any:
        """Return the status of a C-STORE request, or the reason why there is none."""
        while True:
            if not self._open.is_established:
                if self._lost >= _MOST_LOST:
                    return "the connection was lost"
                try:
                    self._connect()
                except InputError as error:
                    self._lost = _MOST_LOST
                    return str(error)
            try:
                status = self._open.send_c_store(dataset)
            except ValueError:  # no accepted presentation context
                return f"the node does not take objects of this class ({dataset.SOPClassUID})"
            except RuntimeError:  # the association ended before this object: try it on another
                self._lost += 1
                self._open.abort()
                continue
            if "Status" in status:
                return status
            self._lost += 1
            self._open.abort()  # it may count as open for a moment
            return "the connection was lost, or the node did not answer in time"

    def _connect(self) -> None:
        require_pynetdicom("sending to a DICOM node")
        from pydicom import dcmread
        from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
        from pynetdicom import AE

        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
        classes = {
            str(dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True).SOPClassUID)
            for path in self._paths
        }
        _check_reachable(self._peer, self._context)
        entity = AE(ae_title=self._calling)
        entity.dimse_timeout = _ANSWER_SECONDS
        for uid in sorted(classes)[:_MOST_CLASSES]:
            entity.add_requested_context(uid, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        peer = self._peer
        secured = None if self._context is None else (self._context, peer.host)
        self._open = entity.associate(
            peer.host,
            peer.port,
            ae_title=peer.title,
            tls_args=secured,
            evt_handlers=closing_handlers(),
        )
        if self._open.is_established:
            return
        where = f"{peer.title}@{peer.host}:{peer.port}"
        if self._open.is_rejected:
            raise InputError(
                f"{where}: refuses the association. Check the AE titles: it may know neither "
                f"{peer.title} nor {self._calling}"
            )
        if self._open.rejected_contexts:
            raise InputError(f"{where}: takes no objects of the class {', '.join(sorted(classes))}")
        raise InputError(
            f"{where}: broke the association off. Check that it is a DICOM node; one that uses TLS "
            "needs --tls-ca"
        )


def _check_reachable(peer: Peer, context: ssl.SSLContext | None) -> None:
    """Raise an InputError with the system's reason where no connection can be made.

    pynetdicom writes the reason to its log alone.
    """
    where = f"{peer.title}@{peer.host}:{peer.port}"
    try:
        plain = socket.create_connection((peer.host, peer.port), _CONNECT_SECONDS)
    except OSError as error:
        raise InputError(
            f"{where}: cannot be reached ({error.strerror or error}). Check host and port"
        ) from error
    with plain:
        if context is None:
            return
        try:
            context.wrap_socket(plain, server_hostname=peer.host).close()
        except OSError as error:
            raise InputError(f"{where}: {reason_of(error)}") from error
