"""Sending restored series to a node."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pynetdicom", reason="needs pynetdicom: pip install 'deepstd[network]'")

from dicom_nodes import IMPLICIT, LOOPBACK, free_port, save, series, taking, voxels_of

import deepstd
from deepstd.cli.app import main
from deepstd.errors import InputError
from deepstd.network.peers import Peer, Server, target_of, title_of
from deepstd.network.send import send


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    deepstd.compress(
        save(series(4), tmp_path / "in"),
        tmp_path / "a.dstd",
        lossless=True,
        metadata=deepstd.Metadata.ALL,
    )
    return tmp_path / "a.dstd"


@pytest.mark.parametrize("syntaxes", [("1.2.840.10008.1.2.1",), IMPLICIT])
def test_a_node_gets_the_whole_series(packed: Path, syntaxes: tuple[str, ...]) -> None:
    with taking(syntaxes=syntaxes) as (port, taken):
        (outcome,) = send([packed], f"{LOOPBACK}:{port}", calling="TESTS")
    assert (outcome.sent, outcome.failures) == (4, {})
    assert np.array_equal(voxels_of(taken), voxels_of(series(4)))
    assert {str(one.PatientName) for one in taken} == {"Doe^Jane"}
    assert {one.file_meta.TransferSyntaxUID for one in taken} == set(syntaxes)


def uids_of(packed: Path) -> list[str]:
    with taking() as (port, taken):
        send([packed], f"{LOOPBACK}:{port}", calling="TESTS")
    return [str(one.SOPInstanceUID) for one in taken]


def test_each_refused_object_is_told(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused = uids_of(packed)[1]
    with taking({refused: 0xA700}) as (port, taken):
        assert main(["send", str(packed), f"TAKER@{LOOPBACK}:{port}"]) == 3
    told = capsys.readouterr()
    assert len(taken) == 3
    assert "3 objects, 1 failed" in told.out
    assert f"{refused}: refused with status A700" in told.err


def test_a_warning_is_no_failure(packed: Path) -> None:
    with taking({"": 0xB000}) as (port, _):
        (outcome,) = send([packed], f"{LOOPBACK}:{port}", calling="TESTS")
    assert (outcome.sent, outcome.failures) == (4, {})


def test_after_a_break_the_next_objects_are_sent(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepstd.network.scu._ANSWER_SECONDS", 1.0)
    lost = uids_of(packed)[1]
    with taking({lost: -1}) as (port, taken):
        (outcome,) = send([packed], f"{LOOPBACK}:{port}", calling="TESTS")
    assert list(outcome.failures) == [lost]
    assert "connection was lost" in outcome.failures[lost]
    assert len({str(one.SOPInstanceUID) for one in taken}) == 3


def test_a_file_that_cannot_be_sent_does_not_stop_the_others(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    array = np.arange(6**3, dtype=np.int16).reshape(6, 6, 6)
    deepstd.compress(array, tmp_path / "array.dstd", lossless=True)
    (tmp_path / "damaged.dstd").write_bytes(packed.read_bytes()[:-9])
    files = [str(tmp_path / f"{name}.dstd") for name in ("array", "damaged", "missing", "a")]
    with taking() as (port, taken):
        assert main(["send", *files, f"{LOOPBACK}:{port}", "--json"]) == 3
    told = capsys.readouterr()
    assert [one["sent"] for one in json.loads(told.out)] == [0, 0, 0, 4]
    assert "did not come from DICOM" in told.err
    assert "damaged.dstd" in told.err
    assert "missing.dstd" in told.err
    assert len(taken) == 4


def test_nobody_listens(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    assert main(["send", str(packed), f"PACS@{LOOPBACK}:{port}"]) == 1
    assert f"PACS@{LOOPBACK}:{port}: cannot be reached" in capsys.readouterr().err


def test_a_node_that_takes_no_such_objects(packed: Path) -> None:
    with (
        taking(syntaxes=["1.2.840.10008.1.2.4.50"]) as (port, _),
        pytest.raises(InputError, match="takes no objects"),
    ):
        send([packed], f"{LOOPBACK}:{port}", calling="TESTS")


def test_targets() -> None:
    assert target_of("10.0.0.7:104") == Peer("10.0.0.7", 104, "ANY-SCP")
    assert target_of("PACS 1@pacs.example:11112") == Peer("pacs.example", 11112, "PACS 1")
    assert target_of("[::1]:4242") == Peer("::1", 4242, "ANY-SCP")
    assert target_of("https://u:p@pacs/dicom-web") == Server("https://u:p@pacs/dicom-web")


@pytest.mark.parametrize(
    "text", ["pacs", "pacs:", "pacs:0", "pacs:70000", ":104", "ftp://pacs/x", "A" * 17 + "@p:1"]
)
def test_other_targets_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        target_of(text)


@pytest.mark.parametrize("text", ["", "   ", "A\\B", "Ä", "A" * 17])
def test_other_titles_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="AE title"):
        title_of(text)
