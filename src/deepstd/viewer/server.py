"""A web server for one page on this machine, and for nobody else.

browser ─ Host and token right? ─▶ page, description, slices
other machines ─ not reached: only the loopback address is bound
other sites ─ no token, no CORS; names that lead here by DNS rebinding are refused

The token is in the fragment of the page's address, which browsers send to nobody. The page's script
sends it in a header, so other programs and sites that share the host 127.0.0.1 get no cookie.
"""

from __future__ import annotations

import hmac
import os
import secrets
import socketserver
import sys
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from deepstd.errors import InputError
from deepstd.viewer.assets import page_file, script
from deepstd.viewer.scene import Scene

HOST = "127.0.0.1"
TOKEN_HEADER = "X-DeepSTD-Token"
IDLE_SECONDS = 3600.0
"""Time without a request after which the server ends: scans of patients are not left open."""

_NAMES = (HOST, "localhost")  # by which a browser on this machine may call it
_WAIT_SECONDS = 0.5  # between looks at the clock
_SILENT_SECONDS = 30.0  # for which a connection may say nothing
_STATIC = {
    "/": ("text/html", lambda: page_file("index.html")),
    "/viewer.js": ("text/javascript", script),
    "/page.js": ("text/javascript", lambda: page_file("page.js")),
    "/viewer.css": ("text/css", lambda: page_file("viewer.css")),
    "/icon.svg": ("image/svg+xml", lambda: page_file("icon.svg")),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class ViewServer(ThreadingHTTPServer):
    """The server of one scene.

    Attributes:
        scene: scans to show.
        token: secret of the page.
        url: address of the page, with the token.
    """

    allow_reuse_address = os.name == "posix"  # elsewhere another program could take the port over

    def __init__(self, scene: Scene, port: int | None = None) -> None:
        """Bind the loopback address.

        Args:
            scene: scans to show.
            port: port to listen at; None for any free one.

        Raises:
            InputError: the port is taken, or not allowed.
        """
        self.scene = scene
        self.token = secrets.token_urlsafe(24)
        self._asked_at = time.monotonic()
        try:
            super().__init__((HOST, port or 0), _Handler)
        except OSError as error:
            raise InputError(
                f"port {port}: cannot be used ({error.strerror or error}). Choose another, or "
                "leave --port out"
            ) from error
        self.url = f"http://{HOST}:{self.server_port}/#{self.token}"

    def server_bind(self) -> None:
        """Bind the address without asking the name service for it, as the base class does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def serve(self, idle_seconds: float = IDLE_SECONDS) -> None:
        """Answer requests until none has come for some time.

        Args:
            idle_seconds: that time.
        """
        self.timeout = min(_WAIT_SECONDS, idle_seconds)
        while time.monotonic() - self._asked_at < idle_seconds:
            self.handle_request()

    def note_request(self) -> None:
        """Note the time of a request."""
        self._asked_at = time.monotonic()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of browsers that break a connection off; show other errors."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def is_own(self, host: str | None) -> bool:
        """Return whether a Host header names this server."""
        return host in [f"{name}:{self.server_port}" for name in _NAMES]

    def is_token(self, token: str | None) -> bool:
        """Return whether a header holds the secret of the page."""
        return hmac.compare_digest((token or "").encode(), self.token.encode())


class _Handler(BaseHTTPRequestHandler):
    server: ViewServer  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"
    timeout = _SILENT_SECONDS

    def do_GET(self) -> None:
        if not self.server.is_own(self.headers.get("Host")):
            self._refuse(
                HTTPStatus.MISDIRECTED_REQUEST,
                "This page answers at http://127.0.0.1 and its own port only. Where a tunnel "
                "leads to it, give both ends the same port.",
            )
            return
        self.server.note_request()
        place = urlsplit(self.path)
        static = _STATIC.get(place.path)
        if static is not None:
            kind, text = static
            self._answer(HTTPStatus.OK, f"{kind}; charset=utf-8", text().encode())
        elif place.path not in ("/scene", "/slice"):
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such page.")
        elif not self.server.is_token(self.headers.get(TOKEN_HEADER)):
            self._refuse(HTTPStatus.FORBIDDEN, "Open the address that the command has shown.")
        elif place.path == "/scene":
            data = self.server.scene.description.encode()
            self._answer(HTTPStatus.OK, "application/json", data)
        else:
            self._answer_slice(place.query)

    def _answer_slice(self, query: str) -> None:
        asked = parse_qs(query)
        try:
            plane = asked["plane"][0]
            index, frame = int(asked["index"][0]), int(asked["frame"][0])
            data = self.server.scene.slice(plane, index, frame)
        except (KeyError, ValueError) as error:  # InputError is a ValueError
            self._refuse(HTTPStatus.BAD_REQUEST, f"There is no such slice: {error}.")
        else:
            self._answer(HTTPStatus.OK, "application/octet-stream", data)

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        self._answer(status, "text/plain; charset=utf-8", text.encode())

    def _answer(self, status: HTTPStatus, kind: str, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def end_headers(self) -> None:
        """Add the headers that keep other sites out to every answer, errors included."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def version_string(self) -> str:
        """Return a name without versions."""
        return "DeepSTD"

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: the terminal is for the user."""
