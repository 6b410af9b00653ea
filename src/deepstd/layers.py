"""The exact part of a layered file, cut off and joined again: `deepstd.strip`, `deepstd.complete`.

layered file ─ strip ─▶ lossy file, file of the exact part ─ complete ─▶ layered file

Nothing is decoded, so no bundle is needed.
"""

from __future__ import annotations

from deepstd import io, preflight
from deepstd.container import exact_part_alone, joined, parse
from deepstd.errors import InputError
from deepstd.inspection import read_bytes
from deepstd.sources import PathLike, apart


def strip(
    source: PathLike,
    output: PathLike,
    *,
    keep_residual: PathLike | None = None,
    overwrite: bool = False,
) -> None:
    """Cut the exact part off a layered file.

    Args:
        source: path or URL of a .dstd file, or "-" for standard input.
        output: file or URL of the lossy file, byte for byte as without an exact part.
        keep_residual: file or URL for the exact part, which `complete` takes; None to drop it.
        overwrite: True to replace existing outputs.

    Raises:
        ContainerError: the lossy file is damaged; with ``keep_residual`` the exact part, too.
        InputError: the file has no exact part.
        OutputExistsError: an output is there and ``overwrite`` is False.
    """
    preflight.check_compressed_name(output := apart([source], output))
    data, name = read_bytes(source)
    container = parse(data, name, lossy_suffices=keep_residual is None)
    lossy = bytes(data[: container.lossy_nbytes])
    if len(lossy) == len(data):
        raise InputError(f"{name}: has no exact part. It is the lossy file already")
    if keep_residual is not None:
        place = apart([source, output], keep_residual)
        _put(exact_part_alone(data, container.lossy_nbytes), place, overwrite=overwrite)
    _put(lossy, output, overwrite=overwrite)


def complete(
    lossy: PathLike, residual: PathLike, output: PathLike, *, overwrite: bool = False
) -> None:
    """Join a lossy file and its exact part to a layered file.

    Args:
        lossy: path or URL of the lossy .dstd file.
        residual: path or URL of the exact part, as `strip` writes it.
        output: file or URL of the layered file.
        overwrite: True to replace an existing output.

    Raises:
        ContainerError: an input is damaged, or the exact part belongs to another file.
        InputError: the file has an exact part already.
        OutputExistsError: the output is there and ``overwrite`` is False.
    """
    preflight.check_compressed_name(output := apart([lossy, residual], output))
    data, name = read_bytes(lossy)
    if parse(data, name).exact_part is not None:
        raise InputError(f"{name}: has its exact part already")
    alone, name_of_part = read_bytes(residual)
    _put(joined(bytes(data), bytes(alone), name_of_part), output, overwrite=overwrite)


def _put(data: bytes, place: str, *, overwrite: bool) -> None:
    with io.placed(place, overwrite=overwrite) as temporary, io.needing(len(data)):
        temporary.write_bytes(data)
