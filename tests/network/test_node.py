"""The node, by real associations on the loopback."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pynetdicom", reason="needs pynetdicom: pip install 'deepstd[network]'")

from dicom_nodes import CT, LOOPBACK, associated, sent, series
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian, JPEGLSLossless, RLELossless
from pynetdicom import AE

from deepstd.errors import InputError
from deepstd.network.closing import closing_handlers
from deepstd.network.node import Address, Node, listening
from deepstd.network.spool import Spool
from deepstd.network.waiting import Waiting


class Running:
    """A node on a free port, and what it works with."""

    def __init__(self, spool: Spool) -> None:
        self.spool, self.waiting, self.free = spool, Waiting(60), 10**12
        self.node = Node(spool, self.waiting, lambda: self.free, 10**9)
        self.port = 0

    @property
    def files(self) -> list[Path]:
        return sorted(self.spool.root.rglob("*.dcm"))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with Spool(tmp_path / "s") as spool:
        one = Running(spool)
        with listening(Address(LOOPBACK, 0, "DEEPSTD"), one.node, spool) as one.port:
            yield one


def test_echo(running: Running) -> None:
    with associated(running.port) as association:
        assert association.send_c_echo().Status == 0


def test_objects_are_stored_as_they_were_sent(running: Running) -> None:
    datasets = series(3)
    assert sent(running.port, datasets) == [0, 0, 0]
    stored = {str(d.SOPInstanceUID): d for d in map(dcmread, running.files)}
    for dataset in datasets:
        back = stored[dataset.SOPInstanceUID]
        assert back.to_json_dict() == dataset.to_json_dict()
        assert back.file_meta.TransferSyntaxUID == dataset.file_meta.TransferSyntaxUID
    assert len(running.waiting) == 1
    assert not list(running.spool.incoming.iterdir())


@pytest.mark.parametrize("syntax", [JPEGLSLossless, RLELossless])
def test_compressed_objects_stay_compressed(running: Running, syntax: str) -> None:
    (dataset,) = series(1)
    pixels = dataset.pixel_array.copy()
    dataset.compress(syntax, generate_instance_uid=False)
    with associated(running.port, [syntax]) as association:
        assert association.send_c_store(dataset).Status == 0
    back = dcmread(running.files[0])
    assert back.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(back.pixel_array, pixels)


def test_the_same_object_twice_is_there_once_and_another_one_is_refused(running: Running) -> None:
    one, other = series(2)
    assert sent(running.port, [one, one]) == [0, 0]
    assert sent(running.port, [one]) == [0]
    other.SOPInstanceUID = one.SOPInstanceUID
    with associated(running.port) as association:
        answer = association.send_c_store(other)
        assert answer.Status == 0xC111
        assert "another object" in answer.ErrorComment
    assert len(running.files) == 1
    assert dcmread(running.files[0]).InstanceNumber == 1
    assert (running.node.received, running.node.known, running.node.refused) == (1, 2, 1)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, JPEGLSLossless])
def test_the_same_object_in_another_transfer_syntax_is_the_same(
    running: Running, syntax: str
) -> None:
    (dataset,) = series(1)
    assert sent(running.port, [dataset]) == [0]
    if syntax == JPEGLSLossless:
        dataset.compress(syntax, generate_instance_uid=False)
    with associated(running.port, [syntax]) as association:
        assert association.send_c_store(dataset).Status == 0
    changed = series(1, RescaleIntercept=0)
    assert sent(running.port, changed) == [0xC111]
    (changed,) = series(1)
    changed.PixelData = bytes(len(changed.PixelData))
    assert sent(running.port, [changed]) == [0xC111]
    assert len(running.files) == 1


def test_a_full_disk_refuses_and_takes_again_later(running: Running) -> None:
    running.free = 10**9 - 1
    assert sent(running.port, series(1)) == [0xA700]
    assert running.files == []
    running.free = 10**9
    assert sent(running.port, series(1)) == [0]


@pytest.mark.parametrize("call", ["write", "flush", "open"])
def test_a_disk_that_is_full_while_an_object_comes(
    running: Running, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    full = OSError(28, "No space left on device")
    opened = os.fdopen

    class Full:
        def __init__(self, stream: Any) -> None:
            self.stream, self.written = stream, 0

        def write(self, data: bytes) -> int:
            self.written += len(data)
            if call == "write" and self.written > 400:
                raise full
            return self.stream.write(data)

        def flush(self) -> None:
            if call == "flush":
                raise full
            self.stream.flush()

        def close(self) -> None:
            self.stream.close()

    def fdopen(number: int, *mode: Any) -> Any:
        if call == "open":
            os.close(number)
            raise full
        return Full(opened(number, *mode))

    with monkeypatch.context() as patched:
        patched.setattr("deepstd.network.landing.os.fdopen", fdopen)
        with associated(running.port) as association:
            answer = association.send_c_store(series(1)[0])
            assert answer.Status == 0xA700
            assert "No space left" in answer.ErrorComment
            assert association.send_c_echo().Status == 0  # the association goes on
    assert running.files == []
    if call != "open":
        assert not list(running.spool.incoming.iterdir())
    assert sent(running.port, series(1)) == [0]


def test_no_room_for_a_large_object_is_seen_while_it_comes(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepstd.network.landing._CHECK_BYTES", 1000)
    looks = []

    def free() -> int:
        looks.append(len(looks))
        return 10**12 if len(looks) < 3 else 0

    running.node._free_bytes = free
    assert sent(running.port, series(1, side=512)) == [0xA700]
    assert not list(running.spool.incoming.iterdir())


def test_a_disk_that_fails_is_no_success(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deepstd.network.spool.os.fsync", fails)
    assert sent(running.port, series(1)) == [0xA700]
    assert running.files == []
    assert not list(running.spool.incoming.iterdir())


@pytest.mark.parametrize("keyword", ["SeriesInstanceUID", "StudyInstanceUID"])
def test_objects_without_uids_are_refused(running: Running, keyword: str) -> None:
    (dataset,) = series(1)
    setattr(dataset, keyword, "")
    assert sent(running.port, [dataset]) == [0xC000]
    assert running.files == []


def test_an_object_other_than_announced_is_refused(running: Running) -> None:
    (dataset,) = series(1)
    with associated(running.port) as association:
        request = association._accepted_cx  # the context exists
        assert request
        from pynetdicom.dimse_primitives import C_STORE

        message = C_STORE()
        message.MessageID = 1
        message.AffectedSOPClassUID = CT
        message.AffectedSOPInstanceUID = "1.2.3.4.5.6"
        message.Priority = 2
        from io import BytesIO

        from pynetdicom.dsutils import encode

        message.DataSet = BytesIO(encode(dataset, False, True) or b"")
        context = next(iter(request))
        association._reactor_checkpoint.clear()
        association.dimse.send_msg(message, context)
        _, answer = association.dimse.get_msg(block=True)
        association._reactor_checkpoint.set()
        assert answer is not None
        assert answer.Status == 0xA900
    assert running.files == []


def test_rubbish_is_refused_and_the_node_goes_on(running: Running) -> None:
    from io import BytesIO

    from pynetdicom.dimse_primitives import C_STORE

    with associated(running.port) as association:
        message = C_STORE()
        message.MessageID, message.Priority = 1, 2
        message.AffectedSOPClassUID, message.AffectedSOPInstanceUID = CT, "1.2.3"
        message.DataSet = BytesIO(b"\x08\x00\x16\x00UI\xff\xff" + b"rubbish" * 99)
        association._reactor_checkpoint.clear()
        association.dimse.send_msg(message, next(iter(association._accepted_cx)))
        _, answer = association.dimse.get_msg(block=True)
        association._reactor_checkpoint.set()
        assert answer is not None
        assert answer.Status == 0xC000
    assert sent(running.port, series(1)) == [0]
    assert len(running.files) == 1


def test_an_association_that_breaks_off_leaves_whole_objects_only(running: Running) -> None:
    datasets = series(4)
    entity = AE()
    entity.add_requested_context(CT)
    association = entity.associate(LOOPBACK, running.port, evt_handlers=closing_handlers())
    assert association.send_c_store(datasets[0]).Status == 0
    assert association.dul.socket is not None
    association.dul.socket.send(b"\x04\x00\x00\x00\x10\x00")  # a data unit that never ends
    association.abort()
    assert len(running.files) == 1
    assert sent(running.port, datasets) == [0] * 4
    assert len(running.files) == 4


def test_a_port_in_use_is_told(running: Running, tmp_path: Path) -> None:
    with Spool(tmp_path / "other") as spool:
        node = Node(spool, Waiting(1), lambda: 0, 0)
        told = re.escape(f"{LOOPBACK}:{running.port}: cannot be listened on")
        with (
            pytest.raises(InputError, match=told),
            listening(Address(LOOPBACK, running.port, "X"), node, spool),
        ):
            pass


def test_no_address_is_not_every_address(tmp_path: Path) -> None:
    with Spool(tmp_path / "s") as spool:
        node = Node(spool, Waiting(1), lambda: 0, 0)
        with (
            pytest.raises(InputError, match="no address"),
            listening(Address("", 0, "X"), node, spool),
        ):
            pass
