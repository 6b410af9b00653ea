"""The spool: what is stored survives, once, and nothing else does."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom", reason="needs pynetdicom: pip install 'deepstd[network]'")

from dicom_nodes import series
from pydicom.dataset import Dataset

from deepstd.errors import InputError
from deepstd.network.spool import Spool, Stored, Uids, content_hash, write_whole


def incoming(spool: Spool, dataset: Dataset, name: str = "a") -> tuple[Path, Uids]:
    path = spool.incoming / name
    dataset.save_as(path, enforce_file_format=True)
    uids = dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID
    return path, Uids(*uids)


def test_an_object_is_stored_once(tmp_path: Path) -> None:
    one, other = series(2)
    other.SOPInstanceUID = one.SOPInstanceUID
    with Spool(tmp_path / "s") as spool:
        path, uids = incoming(spool, one)
        assert spool.store(path, uids) is Stored.NEW
        assert not path.exists()
        path, uids = incoming(spool, one)
        assert spool.store(path, uids) is Stored.KNOWN
        path, uids = incoming(spool, other)
        assert spool.store(path, uids) is Stored.CONFLICT
        assert spool.names(uids.key) == {uids.name}
        assert list(spool.series_keys()) == [uids.key]


def test_who_wrote_a_file_does_not_count_as_content(tmp_path: Path) -> None:
    (one,) = series(1)
    one.save_as(tmp_path / "a", enforce_file_format=True)
    one.file_meta.ImplementationVersionName = "ANOTHER"
    one.save_as(tmp_path / "b", enforce_file_format=True)
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()
    assert content_hash(tmp_path / "a") == content_hash(tmp_path / "b")
    one.PatientName = "X"
    one.save_as(tmp_path / "b", enforce_file_format=True)
    assert content_hash(tmp_path / "a") != content_hash(tmp_path / "b")


@pytest.mark.parametrize("uid", ["../../../x", "/etc/passwd", "1.2.3\n", "a" * 5000, "ü"])
def test_a_hostile_uid_leads_to_no_other_folder(tmp_path: Path, uid: str) -> None:
    with Spool(tmp_path / "s") as spool:
        path, _ = incoming(spool, series(1)[0])
        assert spool.store(path, Uids(uid, uid, uid)) is Stored.NEW
        (key,) = spool.series_keys()
        (name,) = spool.names(key)
    everything = {p.relative_to(tmp_path).parts[:2] for p in tmp_path.rglob("*") if p.is_file()}
    assert everything == {("s", "spool.lock"), ("s", "series")}
    assert name.endswith(".dcm")


def test_of_many_at_once_one_is_new(tmp_path: Path) -> None:
    (one,) = series(1)
    with Spool(tmp_path / "s") as spool:
        found: list[Stored] = []
        files = [incoming(spool, one, f"{n}") for n in range(8)]
        threads = [
            threading.Thread(target=lambda f=file: found.append(spool.store(*f))) for file in files
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(one.value for one in found) == ["known"] * 7 + ["new"]


def test_the_spool_is_for_one_process(tmp_path: Path) -> None:
    with Spool(tmp_path / "s"), pytest.raises(InputError, match="another run receives"):
        Spool(tmp_path / "s").__enter__()
    with Spool(tmp_path / "s"):
        pass


def test_unfinished_objects_go_at_the_next_start(tmp_path: Path) -> None:
    with Spool(tmp_path / "s") as spool:
        (spool.incoming / "half").write_bytes(b"half")
        spool.sweep()
        assert (spool.incoming / "half").exists()  # it may still grow
    with Spool(tmp_path / "s") as spool:
        assert not list(spool.incoming.iterdir())


def test_deleted_originals_are_remembered(tmp_path: Path) -> None:
    first, second = series(2)
    with Spool(tmp_path / "s") as spool:
        for dataset in (first, second):
            assert spool.store(*incoming(spool, dataset)) is Stored.NEW
        _, uids = incoming(spool, first)
        spool.delete(uids.key, {uids.name})
        assert len(spool.names(uids.key)) == 1
        assert spool.generation(uids.key) == 1
    with Spool(tmp_path / "s") as spool:
        assert spool.store(*incoming(spool, first)) is Stored.KNOWN
        first.PatientID = "other"
        assert spool.store(*incoming(spool, first)) is Stored.CONFLICT
        spool.delete(uids.key, spool.names(uids.key))
        assert not list(spool.series_keys())
        assert spool.generation(uids.key) == 2


def test_a_kill_between_the_record_and_the_deletion_loses_nothing(tmp_path: Path) -> None:
    (one,) = series(1)
    with Spool(tmp_path / "s") as spool:
        path, uids = incoming(spool, one)
        spool.store(path, uids)
        digest = content_hash(spool.root / uids.key / uids.name)
        folder = tmp_path / "s" / "stored" / uids.key
        folder.mkdir()
        write_whole(folder / "1.jsonl", f'{{"name": "{uids.name}", "sha256": "{digest}"}}\n')
    with Spool(tmp_path / "s") as spool:
        assert not list(spool.series_keys())


def deleted(tmp_path: Path, count: int) -> tuple[Path, list[Dataset]]:
    """The record of deleted originals of a spool, and these."""
    datasets = series(count)
    with Spool(tmp_path / "s") as spool:
        for dataset in datasets:
            spool.store(*incoming(spool, dataset))
        (key,) = spool.series_keys()
        spool.delete(key, spool.names(key))
    return tmp_path / "s" / "stored" / key / "1.jsonl", datasets


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line[:40],
        lambda line: b"\0" * len(line),
        lambda line: b"\xff\xfe rubbish",
        lambda line: b'["no", "row"]',
        lambda line: b'{"name": 7, "sha256": null}',
        lambda line: b"[" * 100_000,
        lambda line: line.replace(b".dcm", b".mcd"),
        lambda line: b"",
    ],
)
def test_a_damaged_record_is_named_and_loses_nothing(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    record, (one, other) = deleted(tmp_path, 2)
    lines = record.read_bytes().splitlines()
    lines[1] = damage(lines[1])
    record.write_bytes(b"\n".join(lines) + b"\n")
    told: list[tuple[Path, str]] = []
    with Spool(tmp_path / "s", lambda path, why: told.append((path, why))) as spool:
        outcomes = [spool.store(*incoming(spool, dataset)) for dataset in (one, other)]
        assert sorted(outcome.value for outcome in outcomes) == ["known", "new"]
        (key,) = spool.series_keys()
        assert spool.generation(key) == 1
        spool.delete(key, spool.names(key))
        assert spool.store(*incoming(spool, other)) is Stored.KNOWN
    ((path, why),) = told
    assert path == record
    assert why.startswith("line 2 is damaged")


def test_an_original_stays_whose_record_has_another_hash(tmp_path: Path) -> None:
    with Spool(tmp_path / "s") as spool:
        path, uids = incoming(spool, series(1)[0])
        spool.store(path, uids)
        folder = tmp_path / "s" / "stored" / uids.key
        folder.mkdir()
        write_whole(folder / "1.jsonl", f'{{"name": "{uids.name}", "sha256": "{"0" * 64}"}}\n')
        damaged = spool.root / uids.key / uids.name
    with Spool(tmp_path / "s") as spool:
        assert spool.names(uids.key) == {uids.name}
        damaged.write_bytes(b"rubbish")
    with Spool(tmp_path / "s") as spool:
        assert spool.names(uids.key) == {uids.name}


def test_an_object_beside_a_damaged_one_is_refused(tmp_path: Path) -> None:
    (one,) = series(1)
    with Spool(tmp_path / "s") as spool:
        path, uids = incoming(spool, one)
        spool.store(path, uids)
        (spool.root / uids.key / uids.name).write_bytes(b"rubbish")
        assert spool.store(*incoming(spool, one)) is Stored.CONFLICT


KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from dicom_nodes import series
from deepstd.network.spool import Spool, Uids
with Spool(Path(sys.argv[1])) as spool:
    for dataset in series(400):
        path = spool.incoming / "a"
        dataset.save_as(path, enforce_file_format=True)
        uid = str(dataset.SOPInstanceUID)
        spool.store(path, Uids("1.2.3", "1.2.3.1", uid))
        print(uid, flush=True)
"""


def test_what_was_acknowledged_before_a_kill_is_there(tmp_path: Path) -> None:
    helpers = str(Path(__file__).resolve().parents[1] / "helpers")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "s"), helpers]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(20)]
        process.kill()
        acknowledged += process.stdout.read().split()
    with Spool(tmp_path / "s") as spool:
        key = Uids("1.2.3", "1.2.3.1", "").key
        there = spool.names(key)
        assert {Uids("1.2.3", "1.2.3.1", uid).name for uid in acknowledged} <= there
        assert len(there) <= len(acknowledged) + 1
        assert all(len(content_hash(spool.root / key / name)) == 64 for name in there)
