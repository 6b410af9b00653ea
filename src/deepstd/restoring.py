"""From a parsed file to its scan: by the bundle that it names, or without any.

container ─┬ no texture ─ constant ───────────────┬▶ Volume
           └ bundle given, or that it names ─ Codec ┘
"""

from __future__ import annotations

from deepstd import bundle as bundles
from deepstd import constant
from deepstd.codec import Codec
from deepstd.container import Beginning, Container
from deepstd.errors import BundleMismatchError, BundleNotFoundError
from deepstd.volume import Volume

AUTO = "auto"


def restored(
    container: Beginning, model: str = AUTO, device: str = "auto", level: int = 0
) -> Volume:
    """Return the scan of a file, or a preview of it; arguments as for `api.decompress`.

    Raises:
        BundleMismatchError: the file's bundle is not installed.
        DamagedError: the bytes make no sense.
    """
    if constant.is_without_texture(container):
        return constant.decode(container, level)
    codec = codec_for(container, model, device)
    if isinstance(container, Container):
        return codec.decode(container)
    return codec.preview(container, level)


def codec_for(container: Beginning, model: str = AUTO, device: str = "auto") -> Codec:
    """The codec of a bundle given by name or folder, or else of the one that a file names.

    Raises:
        BundleMismatchError: the file's bundle is not installed.
    """
    if model != AUTO:
        return Codec.load(model, device=device)
    try:
        return Codec(bundles.load_exact(container.head.bundle), device)
    except BundleNotFoundError as error:
        raise BundleMismatchError(f"{container.name}: {error}") from error
