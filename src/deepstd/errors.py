"""Errors of DeepSTD and their exit codes on the command line.

    DeepSTDError ................................. exit code 1
    ├── InputError (ValueError)  the scan or the request cannot be used
    │   ├── UnsupportedFormatError  an unsupported file type, data type or layout
    │   ├── GeometryError  an affine that is singular or not finite
    │   └── RegionError (IndexError)  a region that lies outside of the scan, or is none
    ├── RateError (ValueError)  the requested size cannot be reached; names the nearest size
    ├── BundleError (ValueError)  a model bundle is missing, damaged or of another kind
    │   ├── BundleNotFoundError
    │   └── BundleMismatchError .................. exit code 4
    ├── ContainerError (ValueError) .............. exit code 4
    │   ├── NotDstdError  the file is not a .dstd file
    │   ├── UnsupportedVersionError  written by a newer DeepSTD
    │   ├── TruncatedError  the file ends too early
    │   └── DamagedError  a checksum or a field does not fit
    │       └── ExactPartError  the exact part of a layered file alone is damaged
    ├── OutputExistsError (FileExistsError)  an existing file would be overwritten
    ├── DeviceError (RuntimeError)  the requested device is not available or out of memory
    └── MissingExtraError (ImportError)  an optional dependency is needed

A message names the file, the fault, the value expected and found, and a remedy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

OUT_OF_MEMORY = (
    "not enough memory for a scan of this size. Close other programs, use a machine with more, or "
    "the CPU (-d cpu) where it was the GPU's that ran out."
)
OR_REPLACE = "Choose another output, or replace it with --overwrite (in Python overwrite=True)"


class DeepSTDError(Exception):
    """Base of all errors of DeepSTD; ``exit_code`` is the exit code of the command line."""

    exit_code = 1


class InputError(DeepSTDError, ValueError):
    """The scan or the request cannot be used."""


class UnsupportedFormatError(InputError):
    """An unsupported file type, data type or layout."""


class GeometryError(InputError):
    """An affine that is singular or not finite."""


class RegionError(InputError, IndexError):
    """A region that lies outside of the scan, or an index that selects no region."""


class RateError(DeepSTDError, ValueError):
    """The requested size cannot be reached; the message names the nearest possible size."""


class BundleError(DeepSTDError, ValueError):
    """A model bundle is missing, damaged or of another kind."""


class BundleNotFoundError(BundleError):
    """No bundle of that name is installed."""


class BundleMismatchError(BundleError):
    """A file was written with another bundle than the bundle at hand."""

    exit_code = 4


class ContainerError(DeepSTDError, ValueError):
    """A .dstd file cannot be trusted."""

    exit_code = 4


class NotDstdError(ContainerError):
    """The file does not begin as a .dstd file does."""


class UnsupportedVersionError(ContainerError):
    """The file has a format version that this release does not read."""


class TruncatedError(ContainerError):
    """The file ends before its last chunk does."""


class DamagedError(ContainerError):
    """A checksum, a length or a field does not fit the rest of the file."""


class ExactPartError(DamagedError):
    """The exact part of a layered file is damaged, and its lossy part was restored.

    Attributes:
        volume: the lossy scan, a `deepstd.Volume`.
    """

    def __init__(self, message: str, volume: Any) -> None:
        super().__init__(message)
        self.volume = volume


class OutputExistsError(DeepSTDError, FileExistsError):
    """An existing file would be overwritten."""


class DeviceError(DeepSTDError, RuntimeError):
    """The requested device is not available, or ran out of memory."""


class MissingExtraError(DeepSTDError, ImportError):
    """An optional dependency is needed for the request."""


@contextmanager
def named(name: str, *kinds: type[DeepSTDError]) -> Iterator[None]:
    """Add the name of a file or bundle to the messages of errors raised in a block.

    Args:
        name: name to put before a message that does not contain it.
        kinds: kinds of errors; all if none is given.
    """
    try:
        yield
    except DeepSTDError as error:
        if name in str(error) or not isinstance(error, kinds or DeepSTDError):
            raise
        raise type(error)(f"{name}: {error}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if Python, or torch on a GPU or the CPU, ran out of memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
