"""Closing of connections that the peer has broken off.

pynetdicom 3.0.4 shuts a socket down before it closes it (`transport.py`, `_shutdown_socket`). Where
the peer has reset the connection the first step fails, and the second one is left out. The
descriptor then stays open until Python collects the association.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary


def closing_handlers() -> list[Any]:
    """Return event handlers that close the socket of an association when its connection ends."""
    from pynetdicom import evt

    sockets: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def opened(event: Any) -> None:
        sockets[event.assoc] = event.assoc.dul.socket.socket

    def closed(event: Any) -> None:
        socket = sockets.pop(event.assoc, None)
        if socket is not None:
            socket.close()

    return [(evt.EVT_CONN_OPEN, opened), (evt.EVT_CONN_CLOSE, closed)]
