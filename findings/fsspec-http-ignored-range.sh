#!/bin/sh
# fsspec 2026.9.0: cat_file of an HTTP address gives the whole body where the server ignores the range.
#
# Expected: AbstractFileSystem.cat_file documents start and end as the byte limits of the read. RFC 9110,
#   section 14.2, allows a server to ignore a Range header; it then answers 200 instead of 206. A client
#   must cut the part out of the body, or fail, as the file object of the same file system does.
# Seen: cat_file(url, 10, 20) returns all bytes, without an error or a warning, and so does cat_ranges for
#   each of its ranges. A program that reads parts of a file takes bytes from the wrong place.
# A way round: compare the length of what came back with what was asked for.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check fsspec==2026.9.0 aiohttp==3.14.5
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fsspec

BODY = bytes(range(256)) * 40


class Whole(BaseHTTPRequestHandler):
    """Server that ignores ranges, as RFC 9110 allows."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Whole)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/scan.bin"
files = fsspec.filesystem("http")
one = files.cat_file(url, start=10, end=20)
two = files.cat_ranges([url, url], [10, 30], [20, 40])
print(f"fsspec {fsspec.__version__}: cat_file(url, 10, 20) gives {len(one)} bytes, expected 10")
print(f"cat_ranges of two parts of 10 bytes gives {[len(part) for part in two]} bytes")
same = one == BODY and all(part == BODY for part in two)
sys.exit(0 if same else "this has changed")
PYTHON
