"""Small made-up DICOM series, and what sends and takes them on the loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from ssl import SSLContext
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt

from deepstd.network.closing import closing_handlers

CT = "1.2.840.10008.5.1.4.1.1.2"
LOOPBACK = "127.0.0.1"


def series(count: int, number: int = 1, *, side: int = 16, **attributes: Any) -> list[Dataset]:
    """CT slices of one series, the same at each call; each takes 2 side² bytes."""
    random = np.random.default_rng(number)
    made = []
    for k in range(count):
        pixels = np.cumsum(random.integers(-9, 10, (side, side)), axis=1).astype(np.int16)
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = CT
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", f"1.2.3.{number}"
        dataset.SOPInstanceUID = f"1.2.3.{number}.{k + 1}"
        dataset.PatientName, dataset.PatientID = "Doe^Jane", "PID-4711"
        dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "CT", number, k + 1
        dataset.StudyDate, dataset.SeriesDescription = "20200229", f"part {number}"
        dataset.ImagePositionPatient = [0, 0, 2 * k]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing, dataset.SliceThickness = [0.5, 0.5], 2
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        dataset.Rows = dataset.Columns = side
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, 1
        dataset.PixelData = pixels.tobytes()
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        made.append(dataset)
    return made


def voxels_of(datasets: Sequence[Dataset]) -> np.ndarray:
    """The slices as (column, row, slice), from the lowest position on."""
    ordered = sorted(datasets, key=lambda one: float(one.ImagePositionPatient[2]))
    return np.stack([one.pixel_array.T for one in ordered], axis=2)


def save(datasets: Sequence[Dataset], folder: Path) -> Path:
    """Save data sets as files of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, dataset in enumerate(datasets):
        dataset.save_as(folder / f"{number:04d}.dcm", enforce_file_format=True)
    return folder


@contextmanager
def associated(
    port: int,
    syntaxes: Sequence[str] = (ExplicitVRLittleEndian,),
    *,
    title: str = "TESTS",
    context: SSLContext | None = None,
) -> Iterator[Any]:
    """An association that sends CT images to a port of the loopback."""
    entity = AE(ae_title=title)
    entity.add_requested_context(CT, list(syntaxes))
    entity.add_requested_context("1.2.840.10008.1.1")
    secured = None if context is None else (context, LOOPBACK)
    association = entity.associate(
        LOOPBACK, port, tls_args=secured, evt_handlers=closing_handlers()
    )
    assert association.is_established
    try:
        yield association
    finally:
        association.release()


def sent(port: int, datasets: Sequence[Dataset]) -> list[int]:
    """Statuses of C-STORE requests in one association."""
    with associated(port) as association:
        return [association.send_c_store(dataset).Status for dataset in datasets]


@contextmanager
def taking(
    statuses: dict[str, int] | None = None, *, syntaxes: Sequence[str] = (ExplicitVRLittleEndian,)
) -> Iterator[tuple[int, list[Dataset]]]:
    """A node that takes CT images; ``statuses`` are its answers by SOP Instance UID."""
    taken: list[Dataset] = []

    def store(event: Any) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        status = (statuses or {}).get(str(dataset.SOPInstanceUID), (statuses or {}).get("", 0))
        if status == -1:
            event.assoc.abort()
            return 0
        if status == 0:
            taken.append(dataset)
        return status

    entity = AE(ae_title="TAKER")
    entity.add_supported_context(CT, list(syntaxes))
    server = entity.start_server(
        (LOOPBACK, 0),
        block=False,
        evt_handlers=[(evt.EVT_C_STORE, store), *closing_handlers()],
    )
    assert server is not None
    try:
        yield server.server_address[1], taken
    finally:
        entity.shutdown()


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as one:
        one.bind((LOOPBACK, 0))
        return one.getsockname()[1]


IMPLICIT = (ImplicitVRLittleEndian,)
