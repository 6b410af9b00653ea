"""Training cache: many scans in two files that need no image library to read.

DIR/cache.json         each scan's name, patient, split, shape, affine
DIR/voxels.safetensors voxels of the scans, special values filled
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from deepstd.errors import InputError
from deepstd.io import room_told

_VERSION = 1


@dataclass(frozen=True)
class CachedScan:
    """Scan, or frame of a 4-D scan, in a cache.

    Attributes:
        name: path below the source folder, unique within it.
        patient: name of the patient; each patient is in one split only.
        split: "train" or "validation".
        voxels: stored values, 2-D or 3-D.
        affine: (4, 4) voxel-to-world matrix in mm, or None.
        source: number of the source folder; every folder counts equally in training.
        frame: number of the frame in a 4-D scan.
    """

    name: str
    patient: str
    split: str
    voxels: np.ndarray
    affine: np.ndarray | None
    source: int = 0
    frame: int = 0

    @property
    def key(self) -> str:
        """Unique name of the scan and frame within a cache."""
        return f"{self.source}/{self.name}#{self.frame}"


def write_cache(folder: Path, scans: list[CachedScan]) -> None:
    """Write a cache into a folder and replace an existing cache.

    Raises:
        InputError: the cache cannot be written, as where the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"{n:05d}": np.ascontiguousarray(s.voxels) for n, s in enumerate(scans)}
    entries = []
    for scan in scans:
        entry = asdict(scan)
        del entry["voxels"]
        entry["affine"] = None if scan.affine is None else np.asarray(scan.affine).tolist()
        entries.append(entry)
    path = folder / "voxels.safetensors"
    try:
        save_file(tensors, path)
    except SafetensorError as error:
        nbytes = sum(scan.voxels.nbytes for scan in scans)
        raise InputError(f"{path}: {nbytes:,} bytes cannot be written ({error})") from error
    text = json.dumps({"version": _VERSION, "scans": entries}, indent=1)
    with room_told(folder / "cache.json", folder / "cache.json"):
        (folder / "cache.json").write_text(text, encoding="utf-8")


def read_cache(folder: Path) -> list[CachedScan]:
    """Read a cache.

    Raises:
        InputError: the folder holds no cache, or a cache of another version.
    """
    try:
        described = json.loads((folder / "cache.json").read_text(encoding="utf-8"))
        if described.get("version") != _VERSION:
            raise InputError(f"{folder}: a cache of another version; run `deepstd prepare` again")
        scans = []
        with safe_open(folder / "voxels.safetensors", framework="numpy") as tensors:
            for number, entry in enumerate(described["scans"]):
                affine = entry.pop("affine")
                affine = None if affine is None else np.array(affine, dtype=np.float64)
                voxels = tensors.get_tensor(f"{number:05d}")
                scans.append(CachedScan(**entry, voxels=voxels, affine=affine))
        return scans
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{folder}: not a training cache ({error}); make one with `deepstd prepare`"
        ) from error
