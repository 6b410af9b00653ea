"""Sockets of connections that the peer has reset are closed, on both sides."""

from __future__ import annotations

import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pynetdicom", reason="needs pynetdicom: pip install 'deepstd[network]'")

from dicom_nodes import LOOPBACK, save, series
from pynetdicom.transport import AssociationSocket

from deepstd.errors import InputError
from deepstd.network.node import Address, Node, listening
from deepstd.network.peers import Peer
from deepstd.network.scu import Association
from deepstd.network.spool import Spool
from deepstd.network.waiting import Waiting

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Sockets that pynetdicom has shut down."""
    sockets: list[Any] = []
    shut_down = AssociationSocket._shutdown_socket

    def recording(self: AssociationSocket) -> None:
        if self.socket is not None:
            sockets.append(self.socket)
        shut_down(self)

    monkeypatch.setattr(AssociationSocket, "_shutdown_socket", recording)
    return sockets


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    connection.close()


def all_closed(sockets: list[Any], count: int) -> bool:
    end = time.monotonic() + 10  # far below the timeouts of pynetdicom
    while time.monotonic() < end:
        if len(sockets) >= count and all(one.fileno() == -1 for one in sockets):
            return True
        time.sleep(0.02)
    return False


def test_a_node_closes_what_a_sender_has_reset(tmp_path: Path, held: list[Any]) -> None:
    with Spool(tmp_path / "s") as spool:
        node = Node(spool, Waiting(60), lambda: 10**12, 10**9)
        with listening(Address(LOOPBACK, 0, "DEEPSTD"), node, spool) as port:
            for _ in range(3):
                connection = socket.create_connection((LOOPBACK, port))
                connection.sendall(b"\x01\x00\x00\x00")  # a request to associate begins
                time.sleep(0.1)
                reset(connection)
            assert all_closed(held, 3)


def test_a_sender_closes_what_a_node_has_reset(tmp_path: Path, held: list[Any]) -> None:
    paths = sorted(save(series(1), tmp_path / "in").iterdir())
    with socket.create_server((LOOPBACK, 0)) as server:
        server.settimeout(30)

        def refuse() -> None:
            server.accept()[0].close()  # the check whether the node can be reached
            connection, _ = server.accept()
            connection.recv(10)
            reset(connection)

        thread = threading.Thread(target=refuse)
        thread.start()
        peer = Peer(LOOPBACK, server.getsockname()[1], "NODE")
        with pytest.raises(InputError, match="broke the association off"):
            Association(peer, "TESTS", paths).__enter__()
        thread.join()
    assert all_closed(held, 1)
