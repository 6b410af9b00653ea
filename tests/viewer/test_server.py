"""The server answers its own page on this machine, and refuses everybody else."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time

import pytest

import deepstd
from deepstd.viewer.scene import Scene
from deepstd.viewer.server import HOST, TOKEN_HEADER, ViewServer

SLICE = "/slice?plane=axial&index=3&frame=0"


def ask(
    server: ViewServer,
    path: str,
    *,
    token: str | None = "",
    host: str | None = None,
    method: str = "GET",
    **headers: str,
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send a request; ``token`` "" stands for the right one, None for none."""
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", f"{HOST}:{server.server_port}" if host is None else host)
        if token is not None:
            connection.putheader(TOKEN_HEADER, token or server.token)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_the_page_needs_no_token_and_holds_nothing_of_the_scan(server: ViewServer) -> None:
    kinds = {
        "/": "text/html",
        "/page.js": "text/javascript",
        "/viewer.js": "text/javascript",
        "/viewer.css": "text/css",
        "/icon.svg": "image/svg+xml",
    }
    for path, kind in kinds.items():
        status, headers, data = ask(server, path, token=None)
        assert status == 200
        assert headers["Content-Type"].startswith(kind)
        assert b"scan.dstd" not in data


def test_description_and_slices(server: ViewServer, scene: Scene) -> None:
    status, headers, data = ask(server, "/scene")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(data)["name"] == "scan.dstd"
    status, _, data = ask(server, SLICE)
    assert (status, data) == (200, scene.slice("axial", 3, 0))


@pytest.mark.parametrize("path", ["/scene", SLICE])
@pytest.mark.parametrize("token", [None, "wrong", "ü"])
def test_the_token_is_needed(server: ViewServer, path: str, token: str | None) -> None:
    status, _, data = ask(server, path, token=token)
    assert status == 403
    assert b"address" in data
    status, _, _ = ask(
        server, f"{path}{'&' if '?' in path else '?'}token={server.token}", token=None
    )
    assert status == 403


def test_tokens_differ(scene: Scene) -> None:
    with ViewServer(scene) as one, ViewServer(scene) as other:
        assert one.token != other.token
        assert len(one.token) >= 32
        assert one.url == f"http://127.0.0.1:{one.server_port}/#{one.token}"


@pytest.mark.parametrize("path", ["/", "/scene", SLICE, "/viewer.js"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "", "127.0.0.1:1"]
)
def test_other_names_of_this_machine_are_refused(server: ViewServer, path: str, host: str) -> None:
    status, _, data = ask(server, path, host=host.format(port=server.server_port))
    assert status == 421
    assert b"scan" not in data


def test_localhost_is_a_name_of_this_machine(server: ViewServer) -> None:
    assert ask(server, "/scene", host=f"localhost:{server.server_port}")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../server.py",
        "/%2e%2e/server.py",
        "/page/index.html",
        "/pane.js",
        "/index.html",
        "//etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/scene/",
        "http://127.0.0.1/../scene.py",
    ],
)
def test_no_other_file_is_given(server: ViewServer, path: str) -> None:
    assert ask(server, path)[0] == 404


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?plane=axial",
        "?plane=axial&index=99&frame=0",
        "?plane=axial&index=x&frame=0",
        "?plane=nowhere&index=0&frame=0",
        "?plane=axial&index=-1&frame=0",
        "?plane=axial&index=0&frame=7",
    ],
)
def test_slices_that_are_not_there(server: ViewServer, query: str) -> None:
    status, _, data = ask(server, f"/slice{query}")
    assert status == 400
    assert data.startswith(b"There is no such slice")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_nothing_can_be_changed(server: ViewServer, method: str) -> None:
    status, headers, _ = ask(server, "/scene", method=method, Origin="https://evil.example")
    assert status == 501
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("path", ["/", "/scene", SLICE, "/nowhere"])
def test_every_answer_keeps_other_sites_out(server: ViewServer, path: str) -> None:
    _, headers, _ = ask(server, path, Origin="https://evil.example")
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    for word in ("unsafe", "*", "http", "data:"):
        assert word not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert [name for name in headers if name.lower().startswith("access-control")] == []
    assert headers["Server"] == "DeepSTD"


def test_only_the_loopback_address_is_bound(server: ViewServer) -> None:
    assert server.socket.getsockname() == ("127.0.0.1", server.server_port)


def test_a_broken_request_harms_nobody(
    server: ViewServer, capfd: pytest.CaptureFixture[str]
) -> None:
    for data in (
        b"",
        b"\x16\x03\x01\x00",
        b"GET\r\n\r\n",
        b"GET /scene HTTP/1.1\r\n",
        b"A" * 70000,
    ):
        with socket.create_connection((HOST, server.server_port)) as connection:
            connection.sendall(data)
    assert ask(server, "/scene")[0] == 200
    assert capfd.readouterr().err == ""


def test_a_port_that_is_taken(scene: Scene) -> None:
    with (
        ViewServer(scene) as server,
        pytest.raises(deepstd.InputError, match=rf"port {server.server_port}: cannot be used"),
    ):
        ViewServer(scene, server.server_port)


def test_it_ends_when_nobody_asks_any_more(scene: Scene) -> None:
    with ViewServer(scene) as server:
        thread = threading.Thread(target=server.serve, args=(1.0,))
        thread.start()
        for _ in range(3):  # each request is in time for the next
            time.sleep(0.6)
            assert ask(server, "/scene")[0] == 200
        thread.join(10)
        assert not thread.is_alive()
