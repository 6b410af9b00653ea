"""The DICOM node: answers C-ECHO, and C-STORE once an object is safe on the disk.

association ─ pieces ─▶ incoming/ ─ header ─▶ UIDs ─ Spool.store ─▶ status

    0000  stored, or the same object was there
    A700  less free space than the limit, or the disk fails
    A900  UID or class of the object differ from those of the request
    C000  no DICOM, damaged, or without a UID of study and series
    C111  another object of this SOP Instance UID is there

A sender must keep an object whose status is no success. An object goes to a file while it comes,
so that memory does not grow with its size.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext
from typing import Any

from deepstd.errors import DeepSTDError, InputError
from deepstd.network.closing import closing_handlers
from deepstd.network.extra import require_pynetdicom
from deepstd.network.landing import FULL, landing_in
from deepstd.network.spool import Spool, Stored, Uids
from deepstd.network.waiting import Waiting

SUCCESS, NO_RESOURCES, MISMATCH = 0x0000, 0xA700, 0xA900
NOT_UNDERSTOOD, CONFLICT = 0xC000, 0xC111
_MOST_ASSOCIATIONS = 100
_PDU_BYTES = 1 << 17
_MOST_COMMENT = 64  # characters of Error Comment
# Data in another place (JPIP), and moving pictures: no series of images comes of them.
_NO_IMAGES = ("1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.10")


@dataclass(frozen=True)
class Address:
    """Address that the node listens on.

    Attributes:
        host: address of this machine.
        port: TCP port; 0 for any free one.
        title: application entity title.
    """

    host: str
    port: int
    title: str


class Node:
    """Answers of the node to requests.

    Args:
        spool: where objects go.
        waiting: is told of each new object.
        free_bytes: returns the free bytes of the disks that are needed.
        least_free: bytes below which no object is taken.
    """

    def __init__(self, spool: Spool, waiting: Waiting, free_bytes: Any, least_free: int) -> None:
        self._spool, self._waiting = spool, waiting
        self._free_bytes, self._least_free = free_bytes, least_free
        self.received = self.known = self.refused = self.rejected = 0
        self.last_refusal = self.last_rejected = ""

    def store(self, event: Any) -> Any:
        """Store the object of a C-STORE request and return the status."""
        request, landing = event.request, event.request._dataset_file
        landing.flush()
        if landing.reason is None and not self.has_room():
            landing.reason = FULL
        if landing.reason is not None:
            return self._refusal(NO_RESOURCES, landing.reason)
        path = landing.path
        try:
            uids, images = _identity(path, request)
            stored = self._spool.store(path, uids)
        except InputError as error:
            return self._refusal(NOT_UNDERSTOOD, str(error))
        except _MismatchError as error:
            return self._refusal(MISMATCH, str(error))
        except OSError as error:
            return self._refusal(NO_RESOURCES, f"the disk fails: {error.strerror or error}")
        if stored is Stored.CONFLICT:
            return self._refusal(CONFLICT, "another object with this SOP Instance UID is there")
        if stored is Stored.KNOWN:
            self.known += 1
            return SUCCESS
        self.received += 1
        self._waiting.note(uids.key, images, id(event.assoc))
        return SUCCESS

    def has_room(self) -> bool:
        """Return whether the disks have room for more objects."""
        return self._free_bytes() >= self._least_free

    def released(self, event: Any) -> None:
        """Note a regular end of an association."""
        self._waiting.release(id(event.assoc), is_regular=True)

    def broken_off(self, event: Any) -> None:
        """Note any other end."""
        self._waiting.release(id(event.assoc), is_regular=False)

    def turned_away(self, event: Any) -> None:
        """Note an association that was rejected."""
        self.rejected += 1
        self.last_rejected = str(event.assoc.requestor.ae_title).strip()

    def _refusal(self, status: int, reason: str) -> Any:
        from pydicom import Dataset

        self.refused += 1
        self.last_refusal = f"{reason} ({status:04X})"
        answer = Dataset()
        answer.Status, answer.ErrorComment = status, reason[:_MOST_COMMENT]
        return answer


class _MismatchError(Exception):
    """An object is not the one that the request announced."""


@contextmanager
def listening(
    address: Address,
    node: Node,
    spool: Spool,
    *,
    callers: Sequence[str] = (),
    context: SSLContext | None = None,
) -> Iterator[int]:
    """Listen within a block; yield the port.

    Args:
        address: where to listen.
        node: answers of the node.
        spool: where objects go.
        callers: titles of the senders whose associations are accepted; none for all.
        context: encrypts connections; None for connections without TLS.

    Raises:
        InputError: the address cannot be used.
        MissingExtraError: pynetdicom is not installed.
    """
    require_pynetdicom("receiving from the network")
    if not address.host.strip():  # which the system takes for all addresses
        raise InputError("no address is given: 127.0.0.1 is this machine, 0.0.0.0 the network")
    from pynetdicom import AE, evt
    from pynetdicom.presentation import AllStoragePresentationContexts
    from pynetdicom.sop_class import Verification  # pyright: ignore[reportAttributeAccessIssue]

    # Its messages are for developers; a file of a patient's identity must not name it in a log.
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    entity = AE(ae_title=address.title)
    entity.require_calling_aet = list(callers)
    entity.maximum_associations = _MOST_ASSOCIATIONS
    entity.maximum_pdu_size = _PDU_BYTES
    entity.add_supported_context(Verification)
    for one in AllStoragePresentationContexts:
        entity.add_supported_context(one.abstract_syntax or "", _syntaxes())
    handlers = [
        (evt.EVT_C_STORE, node.store),
        (evt.EVT_RELEASED, node.released),
        (evt.EVT_ABORTED, node.broken_off),
        (evt.EVT_REJECTED, node.turned_away),
        (evt.EVT_CONN_CLOSE, node.broken_off),
        *closing_handlers(),
    ]
    with landing_in(spool.incoming, node.has_room):
        try:
            server: Any = entity.start_server(
                (address.host, address.port),
                block=False,
                ssl_context=context,
                evt_handlers=handlers,  # pyright: ignore[reportArgumentType]
            )
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"{address.host}:{address.port}: cannot be listened on ({reason}). Choose another "
                "--port or --host"
            ) from error
        try:
            yield server.server_address[1]
        finally:
            entity.shutdown()


def _syntaxes() -> list[str]:
    from pynetdicom import ALL_TRANSFER_SYNTAXES

    return [str(one) for one in ALL_TRANSFER_SYNTAXES if not str(one).startswith(_NO_IMAGES)]


def _identity(path: Path, request: Any) -> tuple[Uids, int | None]:
    """Return the UIDs of a received file and its *Images in Acquisition*.

    Raises:
        InputError: the file is damaged or states no UIDs.
        _MismatchError: it states others than the request.
    """
    from deepstd.io.dicom.images import header, text
    from deepstd.io.dicom.items import Item

    try:
        dataset = header(Item(path))
    except DeepSTDError as error:
        raise InputError("the data set is damaged, or no DICOM") from error
    uids = Uids(*(text(dataset, f"{name}InstanceUID") for name in ("Study", "Series", "SOP")))
    if not (uids.study and uids.series and uids.instance):
        raise InputError("the data set lacks a UID of study, series or object")
    sop_class = text(dataset, "SOPClassUID")
    if (uids.instance, sop_class) != (request.AffectedSOPInstanceUID, request.AffectedSOPClassUID):
        raise _MismatchError("UID or class of the data set differ from the request's")
    images = dataset.get("ImagesInAcquisition")
    return uids, int(images) if isinstance(images, int) else None
