"""Restoration of the scan of a parsed file, with the bundle that the file names.

container ─┬ no bundle ─ without_bundle ────────────┬▶ Volume
           ├ exact part ─ layered ──────────────────────┤
           └ bundle, given or named in the file ─ Codec ┘
"""

from __future__ import annotations

from deepstd.codec import layered, without_bundle
from deepstd.container import Beginning, Container
from deepstd.inspection import AUTO
from deepstd.volume import Volume


def restored(
    container: Beginning,
    model: str = AUTO,
    device: str = "auto",
    level: int = 0,
    *,
    lossy: bool = False,
) -> Volume:
    """Decode the scan of a parsed file, or a preview.

    Args:
        container: the parsed file; its first part is enough for a preview.
        model: name or folder of the model bundle; "auto" for the bundle that the file names.
        device: "auto", "cpu", "cuda" or "cuda:N".
        level: 0 for the whole scan, 1 for half of the resolution, 2 for a quarter, and so on.
        lossy: True to leave out the exact part of a layered file.

    Raises:
        BundleMismatchError: the file was written with another bundle, or its bundle is not
            installed.
        BundleError: the bundle is missing or damaged.
        DeviceError: the device is not available.
        DamagedError: the payload is malformed.
        InputError: the scan has fewer levels.
    """
    if isinstance(container, Container) and container.exact_part is not None and not lossy:
        return layered.decode(container, lambda: _prediction(container, model, device))
    if without_bundle.is_without_bundle(container):
        return without_bundle.decode(container, level)
    from deepstd.codec.shared import codec_for  # not at the top: lossless files do without

    codec = codec_for(container, model, device)
    if isinstance(container, Container):
        return codec.decode(container, lossy=True)
    return codec.preview(container, level)


def _prediction(container: Container, model: str, device: str) -> Volume:
    """Decode the lossy part of a layered file without filters."""
    if without_bundle.is_without_bundle(container):
        return without_bundle.decode(container)
    from deepstd.codec.shared import codec_for

    return codec_for(container, model, device).predict(container)
