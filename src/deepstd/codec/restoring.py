"""Restoration of the scan of a parsed file, with the bundle that the file names.

container ─┬ no bundle ─ without_bundle ────────────┬▶ Volume
           └ bundle, given or named in the file ─ Codec ┘
"""

from __future__ import annotations

from deepstd.codec import without_bundle
from deepstd.container import Beginning, Container
from deepstd.inspection import AUTO, bundle_for
from deepstd.volume import Volume


def restored(
    container: Beginning, model: str = AUTO, device: str = "auto", level: int = 0
) -> Volume:
    """Decode the scan of a parsed file, or a preview.

    Args:
        container: the parsed file; its first part is enough for a preview.
        model: name or folder of the model bundle; "auto" for the bundle that the file names.
        device: "auto", "cpu", "cuda" or "cuda:N".
        level: 0 for the whole scan, 1 for half of the resolution, 2 for a quarter, and so on.

    Raises:
        BundleMismatchError: the file was written with another bundle, or its bundle is not
            installed.
        BundleError: the bundle is missing or damaged.
        DeviceError: the device is not available.
        DamagedError: the payload is malformed.
        InputError: the scan has fewer levels.
    """
    if without_bundle.is_without_bundle(container):
        return without_bundle.decode(container, level)
    bundle = bundle_for(container, model)
    from deepstd.codec.codec import Codec  # with torch, once nothing else can fail

    codec = Codec(bundle, device)
    if isinstance(container, Container):
        return codec.decode(container)
    return codec.preview(container, level)
