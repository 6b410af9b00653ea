"""Crops of compressed scans for PyTorch.

cases (path, or paths by name) ─ restored once, kept in memory ─ crops at random ─▶ tensors
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from deepstd.errors import InputError
from deepstd.extras import check_torch
from deepstd.inspection import AUTO
from deepstd.loading import load

check_torch("deepstd.torch", "loaders")

import torch  # noqa: E402
from torch.utils.data import Dataset  # noqa: E402

PathLike = str | os.PathLike[str]
IMAGE = "image"
"""Name of a scan that is given as a path alone."""
_GIBIBYTE = 1 << 30


class CropDataset(Dataset[dict[str, Any]]):
    """Random crops of compressed scans, several of each.

        cases = [{"image": "a.dstd", "label": "a_seg.dstd"}, …]
        loader = DataLoader(CropDataset(cases, (64, 64, 64)), batch_size=2, num_workers=4)

    An item is a mapping of names to tensors (channels, *size), where frames are channels, and
    ``"case"``: the number of its case. Grey values of 8 to 16 bits and floats become float32, label
    maps int64. All scans of a case are cropped at the same place. A scan smaller than the crop is
    padded at its end: with its smallest value, labels with 0.

    Places come from PyTorch's generator, so ``torch.manual_seed`` repeats them. Scans are restored
    once for a worker while they fit into the memory that is allowed. Without shuffling the crops of
    a scan follow each other, and memory for one case is enough.

    Args:
        cases: for each case a path of a .dstd file, or paths by name.
        size: voxels of a crop along each spatial axis.
        crops: crops of each scan in an epoch.
        labels: names of the scans that are label maps.
        cache_bytes: memory for restored scans, in each worker.
        transform: called with each item; None for none.
        model: name or folder of the model bundle; "auto" finds the bundle that a file names.

    Raises:
        InputError: there are no cases, a size is below 1, or names differ between cases.
    """

    def __init__(
        self,
        cases: Sequence[PathLike | Mapping[str, PathLike]],
        size: Sequence[int],
        *,
        crops: int = 4,
        labels: Sequence[str] = ("label",),
        cache_bytes: int = 2 * _GIBIBYTE,
        transform: Callable[[dict[str, Any]], Any] | None = None,
        model: str = AUTO,
    ) -> None:
        self.cases = [dict(c) if isinstance(c, Mapping) else {IMAGE: c} for c in cases]
        if not self.cases or min(crops, *size) < 1:
            raise InputError("give a case and a crop at least, of one voxel along each axis")
        for number, case in enumerate(self.cases):
            if not case or set(case) != set(self.cases[0]):
                names = ", ".join(self.cases[0])
                raise InputError(f"case {number} has other names than the first: {names}")
        self.size, self.crops = tuple(size), crops
        self.labels, self.model = frozenset(labels), model
        self._transform, self._most = transform, cache_bytes
        self._cache: OrderedDict[int, dict[str, np.ndarray]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.cases) * self.crops

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        number = index // self.crops
        scans = self._scans(number)
        space = next(iter(scans.values())).shape[1:]
        room = (max(n - m, 0) + 1 for n, m in zip(space, self.size, strict=True))
        corner = [int(torch.randint(n, ())) for n in room]
        place = tuple(slice(at, at + m) for at, m in zip(corner, self.size, strict=True))
        item: dict[str, Any] = {name: self._crop(name, scans[name], place) for name in scans}
        item["case"] = number
        return item if self._transform is None else self._transform(item)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": OrderedDict()}  # workers restore scans of their own

    def _crop(self, name: str, scan: np.ndarray, place: tuple[slice, ...]) -> torch.Tensor:
        part = scan[(slice(None), *place)]
        missing = [m - n for m, n in zip(self.size, part.shape[1:], strict=True)]
        if any(missing):
            fill = 0 if name in self.labels else scan.min()
            part = np.pad(part, [(0, 0), *((0, n) for n in missing)], constant_values=fill)
        dtype = np.int64 if name in self.labels else np.float32
        return torch.from_numpy(np.ascontiguousarray(part, dtype=dtype))

    def _scans(self, number: int) -> dict[str, np.ndarray]:
        """Return the scans of a case, (channels, *space); restore them where they are not kept."""
        if number in self._cache:
            self._cache.move_to_end(number)
            return self._cache[number]
        scans = {name: self._load(path) for name, path in self.cases[number].items()}
        shapes = {scan.shape[1:] for scan in scans.values()}
        if len(shapes) > 1:
            told = ", ".join(f"{name} {scan.shape[1:]}" for name, scan in scans.items())
            raise InputError(f"case {number}: its scans differ in shape ({told})")
        self._cache[number] = scans
        while len(self._cache) > 1 and self._held() > self._most:
            self._cache.popitem(last=False)
        return scans

    def _held(self) -> int:
        return sum(scan.nbytes for kept in self._cache.values() for scan in kept.values())

    def _load(self, path: PathLike) -> np.ndarray:
        values, _ = load(path, self.model)
        axes = len(self.size)
        if values.ndim not in (axes, axes + 1):
            raise InputError(f"{path}: has {values.ndim} axes, and crops have {axes}")
        return values[np.newaxis] if values.ndim == axes else np.moveaxis(values, -1, 0)
