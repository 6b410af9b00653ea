"""HDF5 files, read without following them to anywhere else.

    path ─ opened ─▶ h5py.File ─ find, arrays ─▶ dataset ─ check ─ values ─▶ array

A dataset may claim any shape, lie in other files, or consist of pieces of them. External links,
external storage and virtual datasets are refused. Claimed sizes are compared with the bytes that
are stored, before memory is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.extras import check_h5py
from deepstd.io import parts
from deepstd.io.others import FILE
from deepstd.io.streams import MAX_DEFLATE_RATIO

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = (".h5", ".hdf5", ".hdf", ".mnc")
_MAGIC = b"\x89HDF\r\n\x1a\n"
_MOST_OBJECTS = 10_000  # visited in search of arrays
_MOST_LINKS = 8  # from one name to another
# Filters: deflate, shuffle, checksum, LZF. Others may reach more on a black image.
_USUAL_FILTERS, _NO_PACKING = (1, 2, 3, 32000), (2, 3)
_MAX_RATIO = 1 << 16


def recognises(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is HDF5."""
    return head.startswith(_MAGIC)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file and yield it as a `h5py.File`.

    Raises:
        MissingExtraError: h5py is not installed.
        InputError: the file is damaged or cut short.
    """
    check_h5py("reading HDF5")
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, TypeError) as error:
        raise InputError(
            f"its HDF5 structure is damaged or cut short ({parts.told(str(error))})"
        ) from error


def find(file: Any, name: str) -> Any | None:
    """Return the object of a name, reached inside the file alone; None where there is none.

    Args:
        file: an open file.
        name: groups and the object, separated by "/".

    Raises:
        UnsupportedFormatError: the way leads into another file.
        InputError: its links lead nowhere.
    """
    import h5py

    here, left, links = file, [part for part in name.split("/") if part], 0
    while left:
        part = left.pop(0)
        if not isinstance(here, h5py.Group):
            return None
        link = here.get(part, getlink=True)
        if link is None:
            return None
        if isinstance(link, h5py.HardLink):
            here = here[part]
            continue
        links += 1
        if not isinstance(link, h5py.SoftLink):
            raise UnsupportedFormatError(
                f"{parts.told(name)} lies in another file, to which an external link leads. Give "
                "that file"
            )
        if links > _MOST_LINKS:
            raise InputError(f"the links of {parts.told(name)} lead in a circle. It is damaged")
        here = file if link.path.startswith("/") else here
        left = [part for part in link.path.split("/") if part] + left
    return here


def arrays(file: Any) -> dict[str, Any]:
    """Return the datasets inside a file by their names, in alphabetical order.

    Raises:
        UnsupportedFormatError: the file holds too many objects to search.
    """
    import h5py

    found: dict[str, Any] = {}
    seen = 0

    def visit(name: str, item: Any) -> bool | None:
        nonlocal seen
        seen += 1
        if isinstance(item, h5py.Dataset):
            found[name] = item
        return True if seen > _MOST_OBJECTS else None

    file.visititems(visit)  # follows neither soft nor external links
    if seen > _MOST_OBJECTS:
        raise UnsupportedFormatError(
            f"more than {_MOST_OBJECTS} objects are in it. Name the scan: FILE::NAME"
        )
    return dict(sorted(found.items()))


def shape_of(dataset: Any) -> tuple[int, ...]:
    """Return the shape of a dataset; that of a dataset without a space is (0,)."""
    return (0,) if dataset.shape is None else tuple(int(n) for n in dataset.shape)


def check_stored(dataset: Any) -> None:
    """Check that the values of a dataset lie in its file, and that the file can hold them.

    Raises:
        UnsupportedFormatError: they lie in other files.
        InputError: they cannot come of the bytes that are stored.
    """
    import h5py

    own_name = dataset.name.lstrip("/")
    name = parts.told(own_name)
    if dataset.external is not None or dataset.is_virtual:
        raise UnsupportedFormatError(
            f"the values of {name} lie in other files (external storage or a virtual dataset). "
            "Copy them into one file: h5repack FILE whole.h5, where the others are yours"
        )
    filters = _filters(dataset)
    missing = [one for one in filters if not h5py.h5z.filter_avail(one)]
    if missing:
        raise UnsupportedFormatError(
            f"{name} is packed by HDF5 filter {missing[0]}, which h5py does not have. Unpack it: "
            f"python -c \"import hdf5plugin, h5py, numpy; numpy.save('scan.npy', "
            f"h5py.File('{FILE}')['{parts.quoted(own_name)}'][()])\" (needs hdf5plugin)"
        )
    nbytes = math.prod(shape_of(dataset)) * dataset.dtype.itemsize
    stored, whole = dataset.id.get_storage_size(), dataset.file.id.get_filesize()
    if nbytes and not stored:
        raise InputError(f"the values of {name} were never written")
    chunk = math.prod(dataset.chunks or (0,)) * dataset.dtype.itemsize
    most = min(stored, whole) * (_ratio(filters) if dataset.chunks else 1)
    if max(nbytes, chunk) > most:
        raise InputError(
            f"{name} is said to hold {shape_of(dataset)} values of {dataset.dtype}, "
            f"{max(nbytes, chunk)} bytes, which {min(stored, whole)} stored bytes cannot be. It is "
            "damaged, or most of it was never written"
        )


def values(dataset: Any, selection: Any = ()) -> np.ndarray:
    """Return the values of a dataset that `check_stored` accepts.

    Args:
        dataset: the dataset.
        selection: index of a part; all by default.
    """
    return np.asarray(dataset[selection])


def _filters(dataset: Any) -> list[int]:
    plist = dataset.id.get_create_plist()
    return [plist.get_filter(number)[0] for number in range(plist.get_nfilters())]


def _ratio(filters: list[int]) -> int:
    """Return the largest expansion by filters, with room for chunks that were never written."""
    packing = [one for one in filters if one not in _NO_PACKING]
    usual = len(packing) <= 1 and set(filters) <= set(_USUAL_FILTERS)
    return MAX_DEFLATE_RATIO if usual else _MAX_RATIO
