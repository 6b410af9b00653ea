"""The bundle for a file of a data set, where users may give one that only some files need."""

from __future__ import annotations

from functools import cache

from deepstd import bundle as bundles
from deepstd.codec.without_bundle import is_without_bundle
from deepstd.container import Beginning, BundleRef
from deepstd.inspection import AUTO


def model_for(container: Beginning, model: str) -> str:
    """Return the given bundle where a file was written with it, else "auto".

    Args:
        container: the parsed file.
        model: name or folder of a bundle, or "auto".

    Raises:
        BundleError: the given bundle is missing or damaged.
    """
    if model == AUTO or is_without_bundle(container):
        return AUTO
    return model if _reference(model) == container.head.bundle else AUTO


@cache
def _reference(model: str) -> BundleRef:
    return bundles.load(bundles.find(model)).reference
