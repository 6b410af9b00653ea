"""A local HTTP server that gives files, and misbehaves on request."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """Gives files, and misbehaves on request."""

    daemon_threads = True
    files: dict[str, bytes]
    requests: list[str]
    ranges: list[tuple[int, int]]
    closing: threading.Event

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing to stderr: clients that give up are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.requests.append(self.headers.get("Authorization", ""))
        behaviour, _, name = path.strip("/").partition("/")
        data = self.server.files.get(name)
        if behaviour == "silent":
            self.server.closing.wait(20)
            return
        if behaviour.isdigit():
            self.send_error(int(behaviour))
            return
        if data is None:
            self.send_error(404)
            return
        asked = self.headers.get("Range", "") if behaviour == "ranges" else ""
        if asked:
            first, last = map(int, asked.removeprefix("bytes=").split("-"))
            self.server.ranges.append((first, last + 1))
            self.send_response(206)
            part = data[first : last + 1]
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)
            return
        self.send_response(200)
        if behaviour == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (data[:100], data[100:]):
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(data) + 99 * (behaviour == "short")))
        self.end_headers()
        if behaviour == "stalled":
            self.wfile.write(data[:50])
            self.server.closing.wait(20)
            return
        self.wfile.write(data)
        self.close_connection = behaviour == "short"

    def do_HEAD(self) -> None:
        self.send_error(405)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing to stderr."""
