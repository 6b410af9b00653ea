"""DICOMweb: series of a server, sending to it, and servers that misbehave."""

from __future__ import annotations

import io as streams
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pynetdicom", reason="needs pynetdicom: pip install 'deepstd[network]'")
pytest.importorskip("dicomweb_client", reason="needs it: pip install 'deepstd[network]'")

from dicom_nodes import CT, save, series, voxels_of
from pydicom import Dataset, dcmread

import deepstd
from deepstd.errors import InputError
from deepstd.io.dicomweb import TOKEN, connected, fetch_series, is_series
from deepstd.network.send import send

BOUNDARY = "part-of-an-answer"
SECRET = "hunter2"


class Handler(BaseHTTPRequestHandler):
    """WADO-RS by the first part of the path; STOW-RS refuses the second object."""

    objects: list[bytes]
    stored: list[Dataset]
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(f"{self.headers.get('Authorization')} {self.headers.get('Accept')}")
        behaviour = self.path.split("/")[1]
        if behaviour.isdigit():
            self.send_error(int(behaviour))
            return
        head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = b"".join(head + one + b"\r\n" for one in self.objects)
        body += f"--{BOUNDARY}--\r\n".encode()
        kind = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
        if behaviour == "text":
            kind, body = "text/html", b"<html>" + SECRET.encode()
        if behaviour == "rubbish":
            body = body.replace(b"DICM", b"XXXX")
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if behaviour == "short" else body)
        self.close_connection = True

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length")
        if length is None:  # chunked
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(length))
        start = body.index(b"DICM") - 128
        dataset = dcmread(streams.BytesIO(body[start : body.rindex(b"\r\n--")]))
        answer, row = Dataset(), Dataset()
        row.ReferencedSOPClassUID, row.ReferencedSOPInstanceUID = CT, dataset.SOPInstanceUID
        if len(self.asked) == 1:
            row.FailureReason = 0xA700
            answer.FailedSOPSequence = [row]
        else:
            self.stored.append(dataset)
            answer.ReferencedSOPSequence = [row]
        self.asked.append("POST")
        told = answer.to_json().encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing to stderr."""


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing to stderr: clients that give up are part of the tests."""


@pytest.fixture
def server() -> Iterator[tuple[str, type[Handler]]]:
    """An address with user and password, and what the server noted."""
    kind = type("Noting", (Handler,), {"objects": [], "stored": [], "asked": []})
    for dataset in series(3):
        stream = streams.BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        kind.objects.append(stream.getvalue())
    with Quiet(("127.0.0.1", 0), kind) as one:
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        yield f"http://user:{SECRET}@127.0.0.1:{one.server_address[1]}", kind
        one.shutdown()
        thread.join()


def place(url: str, behaviour: str = "ok") -> str:
    return f"{url}/{behaviour}/studies/1.2.3/series/1.2.3.1"


def test_a_series_is_read_as_a_folder_is(server: tuple[str, type[Handler]]) -> None:
    url, handler = server
    scan = deepstd.read(place(url))
    assert np.array_equal(scan.voxels, voxels_of(series(3)))
    (asked,) = handler.asked
    assert asked.startswith("Basic ")
    assert "transfer-syntax=*" in asked


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        ("401", "refuses"),
        ("404", "no such study"),
        ("500", "answers 500"),
        ("text", "cannot be understood"),
        ("rubbish", "cannot be understood"),
        ("short", "connection ended before"),
    ],
)
def test_servers_that_misbehave(
    server: tuple[str, type[Handler]], behaviour: str, told: str
) -> None:
    with pytest.raises(InputError, match=told) as caught:
        deepstd.read(place(server[0], behaviour))
    assert SECRET not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_a_server_without_objects(server: tuple[str, type[Handler]], tmp_path: Path) -> None:
    server[1].objects.clear()
    with pytest.raises(InputError):
        fetch_series(place(server[0]), tmp_path, lambda text: None)


@pytest.mark.parametrize("name", ["StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("uid", ["1.2.3.99", None])
def test_an_object_of_another_series_is_refused(
    server: tuple[str, type[Handler]], name: str, uid: str | None
) -> None:
    (other,) = series(1)
    if uid is None:
        delattr(other, name)
    else:
        setattr(other, name, uid)
    stream = streams.BytesIO()
    other.save_as(stream, enforce_file_format=True)
    server[1].objects.append(stream.getvalue())
    with pytest.raises(InputError, match="another study or series") as caught:
        deepstd.read(place(server[0]))
    assert SECRET not in str(caught.value)


def test_each_object_that_a_server_refuses_is_told(
    server: tuple[str, type[Handler]], tmp_path: Path
) -> None:
    url, handler = server
    packed = tmp_path / "a.dstd"
    deepstd.compress(save(series(3), tmp_path / "in"), packed, lossless=True)
    (outcome,) = send([packed], url, calling="TESTS")
    assert outcome.sent == 2
    assert list(outcome.failures.values()) == ["refused with status A700"]
    assert len(handler.stored) == 2
    (outcome,) = send([packed], f"http://127.0.0.1:{url.rpartition(':')[2]}/a", calling="TESTS")
    assert outcome.sent == 3


def test_which_urls_are_series() -> None:
    assert is_series("https://pacs/dicom-web/studies/1.2/series/3.4")
    assert is_series("HTTP://u:p@pacs:8080/studies/1.2/series/3.4/?x=1")
    for other in ("https://pacs/studies/1.2", "https://pacs/scan.nii.gz", "studies/1/series/2"):
        assert not is_series(other)


def test_a_token_goes_to_https_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, SECRET)
    with connected("http://pacs/x") as client:
        assert "Authorization" not in client._session.headers
    with connected("https://pacs/x") as client:
        assert client._session.headers["Authorization"] == f"Bearer {SECRET}"
    with connected("https://u:p%40q@pacs:8443/x/") as client:
        assert client._session.auth == ("u", "p@q")
        assert client.base_url == "https://pacs:8443/x"
