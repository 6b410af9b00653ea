"""Programs that others wrote: dcmtk and Orthanc, where they are installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pynetdicom", reason="needs pynetdicom: pip install 'deepstd[network]'")
pytest.importorskip("dicomweb_client", reason="needs it: pip install 'deepstd[network]'")

from dicom_nodes import LOOPBACK, free_port, save, series, voxels_of

import deepstd
from deepstd.cli.app import main
from deepstd.network.node import Address, Node, listening
from deepstd.network.send import send
from deepstd.network.spool import Spool
from deepstd.network.waiting import Waiting

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "reader", "secret"
# pynetdicom has scripts of the same names, which an environment may have before those of dcmtk.
_OWN = os.path.dirname(sys.executable)
_PATH = os.pathsep.join(part for part in os.get_exec_path() if os.path.abspath(part) != _OWN)
ECHOSCU, STORESCU = (shutil.which(name, path=_PATH) or "" for name in ("echoscu", "storescu"))


@pytest.mark.skipif(not STORESCU, reason="needs dcmtk: apt install dcmtk")
@pytest.mark.parametrize("syntax", ["-xe", "-xi", "-xs"])  # explicit, implicit, lossless JPEG
def test_storescu_and_echoscu(tmp_path: Path, syntax: str) -> None:
    whole = series(3)
    folder = save(whole, tmp_path / "in")
    with Spool(tmp_path / "s") as spool:
        node = Node(spool, Waiting(9), lambda: 10**12, 0)
        with listening(Address(LOOPBACK, 0, "DEEPSTD"), node, spool) as port:
            for command in (
                [ECHOSCU, LOOPBACK, str(port)],
                [STORESCU, syntax, "+sd", LOOPBACK, str(port), str(folder)],
                [STORESCU, "+sd", LOOPBACK, str(port), str(folder)],
            ):
                subprocess.run(command, check=True, timeout=60)
        assert (node.received, node.known, node.refused) == (3, 3, 0)
        scan = deepstd.read(next(spool.root.iterdir()))
    assert np.array_equal(scan.voxels, voxels_of(whole))


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """An Orthanc with DICOMweb: its DICOM port, and its URL with user and password."""
    program = shutil.which("Orthanc")
    if program is None or not PLUGIN.exists():
        pytest.skip("needs Orthanc: apt install orthanc orthanc-dicomweb")
    folder = tmp_path_factory.mktemp("orthanc")
    dicom, http = free_port(), free_port()
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    log = open(folder / "log", "w")  # noqa: SIM115  closed below
    process = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log)
    try:
        end = time.monotonic() + 60
        while "Orthanc has started" not in (folder / "log").read_text():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        yield dicom, f"http://{USER}:{PASSWORD}@{LOOPBACK}:{http}"
    finally:
        process.terminate()
        process.wait()
        log.close()


def count(url: str) -> int:
    """Number of objects that an Orthanc has."""
    keys = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    plain = f"http://{url.rpartition('@')[2]}"
    keys.add_password(None, plain, USER, PASSWORD)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(keys))
    with opener.open(f"{plain}/statistics") as answer:
        return json.load(answer)["CountInstances"]


def test_orthanc(
    orthanc: tuple[int, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """C-STORE and STOW-RS to Orthanc, and both series back by WADO-RS."""
    dicom, url = orthanc
    for number, target in ((1, f"ORTHANC@{LOOPBACK}:{dicom}"), (2, f"{url}/dicom-web")):
        whole = series(3, number)
        packed = tmp_path / f"{number}.dstd"
        folder = save(whole, tmp_path / f"in{number}")
        deepstd.compress(folder, packed, lossless=True, metadata=deepstd.Metadata.ALL)
        (outcome,) = send([packed], target, calling="TESTS")
        assert (outcome.sent, outcome.failures) == (3, {})
        assert count(url) == 3 * number
        deepstd.decompress(packed, f"{tmp_path}/back{number}/")
        import pydicom

        sample = pydicom.dcmread(next((tmp_path / f"back{number}").iterdir()))
        study, one = sample.StudyInstanceUID, sample.SeriesInstanceUID
        place = f"{url}/dicom-web/studies/{study}/series/{one}"
        fetched = tmp_path / f"fetched{number}.dstd"
        assert main(["compress", place, "--lossless", "-o", str(fetched)]) == 0
        assert PASSWORD not in "".join(capsys.readouterr())
        assert np.array_equal(deepstd.decompress(fetched).voxels, voxels_of(whole))
    assert main(["compress", f"{url}/dicom-web/studies/1.2/series/3.4", "--lossless"]) == 1
    assert "no such study or series" in capsys.readouterr().err
    wrong = place.replace(PASSWORD, "wrong")
    assert main(["compress", wrong, "--lossless", "-o", str(tmp_path / "x.dstd")]) == 1
    assert "refuses (401)" in capsys.readouterr().err
