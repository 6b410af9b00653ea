"""Who may store: titles of senders, and TLS, by real associations on the loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pynetdicom", reason="needs pynetdicom: pip install 'deepstd[network]'")

from dicom_nodes import LOOPBACK, associated, save, sent, series, voxels_of
from pydicom import dcmread
from pynetdicom import AE

import deepstd
from deepstd.cli.app import main
from deepstd.errors import InputError
from deepstd.network.closing import closing_handlers
from deepstd.network.node import Address, Node, listening
from deepstd.network.send import send
from deepstd.network.spool import Spool
from deepstd.network.tls import asking, serving
from deepstd.network.waiting import Waiting


@contextmanager
def running(folder: Path, **settings: Any) -> Iterator[tuple[Node, int]]:
    with Spool(folder / "s") as spool:
        node = Node(spool, Waiting(60), lambda: 10**12, 10**9)
        with listening(Address(LOOPBACK, 0, "DEEPSTD"), node, spool, **settings) as port:
            yield node, port


def stored(folder: Path) -> list[Any]:
    return [dcmread(path) for path in sorted((folder / "s" / "series").rglob("*.dcm"))]


def certificate_in(folder: Path, names: str) -> tuple[Path, Path]:
    """Make a certificate that signs itself, and its key."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("needs openssl")
    certificate, key = folder / f"{names}.pem", folder / f"{names}.key"
    command = [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=node", "-addext", f"subjectAltName={names}"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Certificate and key of a node on the loopback."""
    return certificate_in(tmp_path_factory.mktemp("tls"), f"IP:{LOOPBACK}")


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    deepstd.compress(save(series(3), tmp_path / "in"), tmp_path / "a.dstd", lossless=True)
    return tmp_path / "a.dstd"


def test_only_named_senders_may_store(tmp_path: Path, packed: Path) -> None:
    with running(tmp_path, callers=("SCANNER", "TESTS")) as (node, port):
        assert set(sent(port, series(2))) == {0}
        with associated(port, title="SCANNER") as association:
            assert association.send_c_store(series(3)[2]).Status == 0
        entity = AE(ae_title="STRANGER")
        entity.add_requested_context("1.2.840.10008.1.1")
        assert entity.associate(LOOPBACK, port, evt_handlers=closing_handlers()).is_rejected
        with pytest.raises(InputError, match="refuses the association"):
            send([packed], f"{LOOPBACK}:{port}", calling="STRANGE")
        assert (node.rejected, node.last_rejected) == (2, "STRANGE")
    assert len(stored(tmp_path)) == 3


def test_a_series_is_sent_and_received_by_tls(
    tmp_path: Path, packed: Path, pair: tuple[Path, Path]
) -> None:
    with running(tmp_path, context=serving(*pair)) as (_, port):
        (outcome,) = send([packed], f"{LOOPBACK}:{port}", calling="TESTS", authority=pair[0])
        assert (outcome.sent, outcome.failures) == (3, {})
        whole = series(2, 2, side=700)  # many records of TLS
        with associated(port, context=asking(pair[0])) as association:
            assert {association.send_c_store(one).Status for one in whole} == {0}
    found = stored(tmp_path)
    large = [one for one in found if one.Rows == 700]
    assert np.array_equal(voxels_of(large), voxels_of(whole))
    assert len(found) == 5


def test_a_silent_caller_keeps_nobody_waiting(
    tmp_path: Path, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepstd.network.tls._SILENT_SECONDS", 1.0)
    with running(tmp_path, context=serving(*pair)) as (_, port):
        silent = [socket.create_connection((LOOPBACK, port)) for _ in range(3)]
        silent[1].sendall(b"\x16\x03\x01")  # the beginning of a handshake
        silent[2].sendall(b"rubbish" * 99)
        with associated(port, context=asking(pair[0])) as association:
            assert association.send_c_store(series(1)[0]).Status == 0
        for one in silent:
            one.close()
        end = time.monotonic() + 60
        while any("run_reactor" in one.name for one in threading.enumerate()):
            assert time.monotonic() < end  # their connections end, too
            time.sleep(0.02)


def test_without_trust_nothing_is_sent(
    tmp_path: Path, packed: Path, pair: tuple[Path, Path]
) -> None:
    other, _ = certificate_in(tmp_path, f"IP:{LOOPBACK}")
    named = certificate_in(tmp_path, "DNS:pacs.example")
    with running(tmp_path / "a", context=serving(*pair)) as (_, port):
        with pytest.raises(InputError, match="certificate is not trusted"):
            send([packed], f"{LOOPBACK}:{port}", calling="TESTS", authority=other)
        with pytest.raises(InputError, match="needs --tls-ca"):
            send([packed], f"{LOOPBACK}:{port}", calling="TESTS")
    with (
        running(tmp_path / "b", context=serving(*named)) as (_, port),
        pytest.raises(InputError, match="certificate is not trusted"),
    ):
        send([packed], f"{LOOPBACK}:{port}", calling="TESTS", authority=named[0])
    with (
        running(tmp_path / "c") as (_, port),
        pytest.raises(InputError, match="no TLS connection"),
    ):
        send([packed], f"{LOOPBACK}:{port}", calling="TESTS", authority=pair[0])
    assert not any(stored(tmp_path / one) for one in "abc")


def test_files_that_are_no_certificates(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_bytes(b"rubbish")
    _, other = certificate_in(tmp_path, "DNS:other")
    for certificate, key in ((rubbish, pair[1]), (pair[0], rubbish), (pair[0], other)):
        with pytest.raises(InputError, match="belong together"):
            serving(certificate, key)
    with pytest.raises(InputError, match=r"none\.key: cannot be read"):
        serving(pair[0], tmp_path / "none.key")
    with pytest.raises(InputError, match="is no certificate"):
        asking(rubbish)
    with pytest.raises(InputError, match="cannot be read"):
        asking(tmp_path / "none.pem")


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(
    tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    locked = tmp_path / "locked.key"
    command = ["openssl", "ec", "-in", str(pair[1]), "-aes128", "-passout", "pass:abcd"]
    subprocess.run([*command, "-out", str(locked)], check=True, capture_output=True)
    with pytest.raises(InputError, match="without a password"):
        serving(pair[0], locked)


def test_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(tmp_path / "s"), str(tmp_path / "o"), "--lossless"]
    assert main(["receive", *folders, "--tls-cert", "a.pem"]) == 2
    assert main(["receive", *folders, "--calling", "A" * 17]) == 2
    assert main(["receive", *folders, "--tls-cert", "a.pem", "--tls-key", "a.key"]) == 1
    assert "a.pem: cannot be read" in capsys.readouterr().err
    pem = tmp_path / "a.pem"
    pem.write_bytes(b"")
    assert main(["send", "a.dstd", "https://pacs/dicom-web", "--tls-ca", str(pem)]) == 1
    assert "REQUESTS_CA_BUNDLE" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
