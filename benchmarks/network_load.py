"""Load on `deepstd receive`: many associations at once, and kill -9 in between.

    python -m benchmarks.network_load HEADER.dcm [--associations 20] [--slices 5000] [--kills 3]

Each association sends one series of small made-up slices with the header of a real one. A sender
sends what was not answered with success again, on a new association, as a scanner does. The
receiver is killed three times: twice while objects come, and once while series are compressed. At
the end, all objects that were answered with success must be there, once, and each series must come
back bit for bit.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 32
PROCESSES = 4
LOOPBACK = "127.0.0.1"


def made(header: Path, number: int, count: int) -> list[Any]:
    """Return the slices of a series, the same at each call."""
    from pydicom import dcmread
    from pydicom.uid import ExplicitVRLittleEndian

    random = np.random.default_rng(number)
    slices = []
    for k in range(count):
        dataset = dcmread(header, stop_before_pixels=True)
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SeriesInstanceUID = f"1.2.826.0.1.3680043.8.498.99.{number}"
        dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.{k + 1}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.SeriesNumber, dataset.InstanceNumber = number, k + 1
        dataset.ImagePositionPatient = [0, 0, k]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.Rows = dataset.Columns = SIDE
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, 1
        steps = random.integers(-9, 10, (SIDE, SIDE))
        dataset.PixelData = np.cumsum(steps, axis=1).astype("<i2").tobytes()
        dataset["PixelData"].VR = "OW"
        slices.append(dataset)
    return slices


def send(job: tuple[str, int, int, int]) -> tuple[int, int]:
    """Send a series until all of it was answered with success; return objects and attempts."""
    from pydicom.uid import ExplicitVRLittleEndian
    from pynetdicom import AE

    header, number, count, port = job
    left = made(Path(header), number, count)
    attempts = 0
    while left:
        entity = AE(ae_title=f"LOAD{number}")
        entity.dimse_timeout = 60
        entity.add_requested_context(left[0].SOPClassUID, [ExplicitVRLittleEndian])
        attempts += 1
        association = entity.associate(LOOPBACK, port)
        if not association.is_established:
            time.sleep(0.5)
            continue
        try:
            while left:
                answer = association.send_c_store(left[0])
                if answer.get("Status") != 0:
                    break
                left.pop(0)
        except RuntimeError:
            continue
        association.release() if association.is_established else None
    return count, attempts


def sender(jobs: list[tuple[str, int, int, int]], results: Any) -> None:
    """Send several series at once, in threads."""
    import logging
    from concurrent.futures import ThreadPoolExecutor

    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    with ThreadPoolExecutor(len(jobs)) as pool:
        for result in pool.map(send, jobs):
            results.put(result)


class Receiver:
    """The command under load, and its largest memory over all its lives."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port, self.most_kib = folder, port, 0
        self.start()

    def start(self) -> None:
        """Start the command."""
        folders = [str(self.folder / "spool"), str(self.folder / "out")]
        options = ["--lossless", "--quiet", "5s", "--port", str(self.port), "--min-free", "100MB"]
        command = [sys.executable, "-m", "deepstd", "receive", *folders, *options]
        self.log = open(self.folder / "log", "ab")  # noqa: SIM115  closed with the process
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def kill(self) -> None:
        """Kill the command with signal 9 and start it again."""
        self.watch()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.start()

    def watch(self) -> None:
        """Note the memory, and raise an error where the command has ended by itself."""
        if self.process.poll() is not None:
            raise RuntimeError((self.folder / "log").read_text()[-2000:])
        with open(f"/proc/{self.process.pid}/status") as status:
            peak = [line for line in status if line.startswith("VmHWM")]
        self.most_kib = max(self.most_kib, *(int(line.split()[1]) for line in peak), 0)

    @property
    def objects(self) -> int:
        """Number of objects in the spool."""
        return sum(1 for _ in (self.folder / "spool" / "series").glob("*/*.dcm"))

    @property
    def outputs(self) -> list[Path]:
        """Compressed series."""
        return sorted((self.folder / "out").glob("*.dstd"))


def check(receiver: Receiver, header: Path, associations: int, each: int) -> dict[str, Any]:
    """Compare everything with what was sent; raise an AssertionError where it differs."""
    from pydicom import dcmread

    import deepstd

    there: dict[str, bytes] = {}
    for path in (receiver.folder / "spool" / "series").glob("*/*.dcm"):
        dataset = dcmread(path)
        assert dataset.SOPInstanceUID not in there, "twice"
        there[str(dataset.SOPInstanceUID)] = dataset.PixelData
    volumes = [deepstd.decompress(path).voxels for path in receiver.outputs]
    for number in range(associations):
        slices = made(header, number, each)
        for dataset in slices:
            assert there.pop(str(dataset.SOPInstanceUID)) == dataset.PixelData, "changed"
        whole = np.stack([one.pixel_array.T for one in slices], axis=2)
        assert sum(np.array_equal(whole, one) for one in volumes) == 1, f"series {number}"
    assert not there, "objects that nobody sent"
    rows = [json.loads(line) for line in (receiver.folder / "out" / "ledger.jsonl").open()]
    return {"outputs": len(volumes), "ledger_lines": len(rows)}


def main() -> None:
    """Run the load and print figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("header", type=Path)
    parser.add_argument("--associations", type=int, default=20)
    parser.add_argument("--slices", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=3)
    asked = parser.parse_args()
    each = asked.slices // asked.associations
    with tempfile.TemporaryDirectory(prefix="deepstd-load-") as name:
        with socket.socket() as one:
            one.bind((LOOPBACK, 0))
            port = one.getsockname()[1]
        receiver = Receiver(Path(name), port)
        context = multiprocessing.get_context("spawn")
        results: Any = context.Queue()
        jobs = [(str(asked.header), n, each, port) for n in range(asked.associations)]
        processes = min(PROCESSES, asked.associations)
        senders = [
            context.Process(target=sender, args=(jobs[n::processes], results))
            for n in range(processes)
        ]
        for process in senders:
            process.start()
        began, kills, killed_at = time.monotonic(), 0, []
        thresholds = [asked.slices * (n + 1) // asked.kills for n in range(asked.kills - 1)]
        while any(process.is_alive() for process in senders):
            receiver.watch()
            if kills < len(thresholds) and receiver.objects >= thresholds[kills]:
                killed_at.append(f"{receiver.objects} objects")
                receiver.kill()
                kills += 1
            time.sleep(0.2)
        received_seconds = time.monotonic() - began
        sent = [results.get() for _ in jobs]
        while len(receiver.outputs) < asked.associations or list(
            (receiver.folder / "out").glob(".deepstd-receive/*")
        ):
            receiver.watch()
            if kills < asked.kills and receiver.outputs:
                killed_at.append(f"{len(receiver.outputs)} outputs")
                receiver.kill()
                kills += 1
            time.sleep(0.2)
        receiver.process.send_signal(signal.SIGTERM)
        code = receiver.process.wait()
        told = check(receiver, asked.header, asked.associations, each)
    print(
        json.dumps(
            {
                "objects": sum(count for count, _ in sent),
                "associations_at_once": asked.associations,
                "associations_in_all": sum(attempts for _, attempts in sent),
                "killed_at": killed_at,
                "receiving_seconds": round(received_seconds, 1),
                "all_seconds": round(time.monotonic() - began, 1),
                "largest_memory_mib": round(receiver.most_kib / 1024),
                "exit_code": code,
                "cores": os.cpu_count(),
                **told,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
