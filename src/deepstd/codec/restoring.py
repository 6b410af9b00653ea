"""Restoration of a parsed file with the bundle that it names, or without a bundle.

container ─┬ no texture ─ constant ───────────────┬▶ Volume
           └ bundle given, or that it names ─ Codec ┘
"""

from __future__ import annotations

from deepstd.codec import constant
from deepstd.container import Beginning, Container
from deepstd.inspection import AUTO, bundle_for
from deepstd.volume import Volume


def restored(
    container: Beginning, model: str = AUTO, device: str = "auto", level: int = 0
) -> Volume:
    """Return the scan of a file, or a preview.

    Args:
        container: parsed file; only a `Container` can be decoded at level 0.
        model: name or folder of a bundle, or "auto" for the bundle that the file names.
        device: "auto", "cpu", "cuda", "cuda:N", or several separated by commas.
        level: 0 for the whole scan; n for a preview without the n finest levels.

    Raises:
        BundleMismatchError: the file was written with another bundle, or its bundle is not
            installed.
        BundleError: the bundle is missing or damaged.
        DamagedError: the bytes make no sense.
    """
    if constant.is_without_texture(container):
        return constant.decode(container, level)
    bundle = bundle_for(container, model)
    from deepstd.codec.codec import Codec  # with torch, once nothing else can fail

    codec = Codec(bundle, device)
    if isinstance(container, Container):
        return codec.decode(container)
    return codec.preview(container, level)
