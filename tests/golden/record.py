"""What is kept of a golden file, and how it is compared.

golden.json  hash of the decoded voxels, geometry, header of the source, previews
NAME.npz     the decoded voxels themselves, for machines that round floats another way
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from deepstd.container import Beginning, read_beginning
from deepstd.volume import Volume

FOLDER = Path(__file__).parent
LIST = "golden.json"


def read_list(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """What is known of each golden file, by its name."""
    path = folder / LIST
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def facts_of(volume: Volume) -> dict[str, Any]:
    """Hashes, type, shape, geometry and header of a decoded scan."""
    return {
        "shape": list(volume.shape),
        "dtype": volume.voxels.dtype.str,
        "voxels_sha256": voxels_sha256(volume.voxels),
        "affine": None if volume.affine is None else volume.affine.tolist(),
        "source_format": volume.source.format,
        "source_header_sha256": hashlib.sha256(volume.source.raw).hexdigest(),
    }


def voxels_sha256(voxels: np.ndarray) -> str:
    """SHA-256 of type, shape and the voxels in row-major order, their bytes as they are stored."""
    found = hashlib.sha256(f"{voxels.dtype.str} {voxels.shape}".encode())
    found.update(np.ascontiguousarray(voxels).tobytes())
    return found.hexdigest()


def beginning(data: bytes, name: str) -> Beginning:
    """What is read of a file for a preview, from no more than the bytes it needs."""
    needed = read_beginning(io.BytesIO(data), name).nbytes
    return read_beginning(io.BytesIO(data[:needed]), name)


def unpacked(name: str, folder: Path) -> Path:
    """Folder of one of the small bundles, unpacked there once."""
    if not (folder / name).exists():
        with zipfile.ZipFile(FOLDER / "bundles" / f"{name}.zip") as archive:
            archive.extractall(folder / name)
    return folder / name
