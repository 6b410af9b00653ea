"""The training cache: many scans in two files that need no image library to read.

DIR/cache.json         what each scan is: name, patient, split, shape, affine
DIR/voxels.safetensors their voxels, special values already filled
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
    """One scan (or one frame of one) of a cache.

    Attributes:
        name: where it lay below its folder; no two scans of a folder have the same.
        patient: whom it shows; a patient is in one split only.
        split: "train" or "validation".
        voxels: stored values, 2-D or 3-D.
        affine: 4x4 voxel-to-world matrix or None.
        frame: which frame of a 4-D scan.
        source: number of the folder it came from; every folder counts equally in training.
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
        """Names the scan, and its frame, within a cache."""
        return f"{self.source}/{self.name}#{self.frame}"


def write_cache(folder: Path, scans: list[CachedScan]) -> None:
    """Write a cache into a folder, replacing one that is there.

    Raises:
        InputError: the disk is full.
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
    """Read a cache; InputError when the folder does not hold one."""
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
