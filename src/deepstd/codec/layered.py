"""Layered files: a lossy file, and behind it what it lacks to be exact.

lossy file ─ decode without filters ─▶ prediction ┐
scan ─────────────────────────────────────────────┴ residual ─▶ exact part ─ DECODE AGAIN ─▶ file
layered file ─ prediction, exact part ─▶ voxels ─ hash ─▶ Volume
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from deepstd import io
from deepstd.codec import exact, residual
from deepstd.codec.compressed import Compressed
from deepstd.codec.sampling import grid_of
from deepstd.codec.without_bundle import is_exact
from deepstd.container import Container, exact_part, parse
from deepstd.errors import DamagedError, DeepSTDError
from deepstd.progress import Progress
from deepstd.volume import Volume

ALREADY_EXACT = "every voxel comes back exactly, so there is no exact part to add"


def with_exact_part(
    found: Compressed,
    volume: Volume,
    predict: Callable[[Container], Volume],
    progress: Progress,
) -> Compressed:
    """Add an exact part to a lossy file, and check what comes back.

    Args:
        found: the lossy file.
        volume: the scan that it was made of.
        predict: decodes a file without filters.
        progress: progress of the job, with the parts "encode texture" and "encode check".

    Returns:
        The layered file; the same file with a note where it is exact by itself. A file with symbols
        never is: its filters may round otherwise on another machine.

    Raises:
        InputError: the scan's reader could not keep every stored value.
        DeepSTDError: a voxel does not come back, which is an error of this program.
    """
    exact.check_kept(volume)
    container = parse(found.data, "the new file")
    if is_exact(container):
        return replace(found, notes=(*found.notes, ALREADY_EXACT))
    volume = io.with_own_header(volume)
    progress("compressing what is missing to exact")
    with progress.timed("encode texture"):
        base = predict(container)
        payload = residual.encode(volume, base)
    part = exact_part(found.data, payload, exact.digest_of(volume.voxels))
    data = found.data + part
    progress("decoding to verify every voxel")
    with progress.timed("encode check"):
        restored = decode(parse(data, "the new file"), lambda: base)
    if not exact.same_bits(volume.voxels, restored.voxels):
        raise DeepSTDError(
            "the scan does not come back exactly, which is an error of this program: please report "
            "it with the output of `deepstd doctor`. Leave out the exact part (--with-residual)"
        )
    return replace(found, data=data, exact_bytes=len(part))


def decode(container: Container, predict: Callable[[], Volume]) -> Volume:
    """Restore the exact scan of a layered file.

    Args:
        container: parsed file with an exact part.
        predict: decodes its lossy part without filters; called where the exact part needs it.

    Raises:
        DamagedError: the exact part is malformed, or does not give what was encoded.
    """
    part, grid = container.exact_part, grid_of(container, 0)
    if part is None:
        raise ValueError(f"{container.name} has no exact part")
    base = predict() if residual.needs_base(part.payload) else None
    head = container.head
    about = residual.Decoded(head.shape, head.dtype, grid.source)
    try:
        voxels = residual.decode(part.payload, base, about, container.name)
    except (ValueError, OverflowError) as error:
        raise DamagedError(f"{container.name} is damaged: its exact part: {error}") from error
    part.check(exact.digest_of(voxels), container.name)
    return grid.volume(voxels)
