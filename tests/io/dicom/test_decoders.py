"""Decoders that are missing, broken, or given damaged data: each is told for what it is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepstd import io
from deepstd.errors import InputError, MissingExtraError

JPEG2000 = "1.2.840.10008.1.2.4.90"


@pytest.fixture
def compressed(tmp_path: Path, make_slice: Callable[..., Any]) -> Path:
    """A slice whose pixels are lossless JPEG 2000."""
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    openjpeg = pytest.importorskip("openjpeg", reason="encodes JPEG 2000")
    pixels = np.arange(64 * 64, dtype="u2").reshape(64, 64)
    dataset = make_slice(pixels)
    dataset.PixelData = encapsulate([openjpeg.encode(pixels)])
    dataset.file_meta.TransferSyntaxUID = UID(JPEG2000)
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(io.read(tmp_path / "a.dcm").voxels[..., 0], pixels.T)
    return tmp_path / "a.dcm"


def test_damaged_pixels_are_no_missing_decoder(compressed: Path) -> None:
    data = bytearray(compressed.read_bytes())
    start = data.index(b"\xff\x4f\xff\x51")
    data[start : start + 60] = bytes(60)
    compressed.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.dcm: cannot be decoded.*damaged") as caught:
        io.read(compressed)
    assert not isinstance(caught.value, MissingExtraError)


def test_a_decoder_that_cannot_be_loaded_is_a_broken_installation(
    compressed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pydicom.pixels.decoders.base import JPEG2000LosslessDecoder

    def fail(*_: object) -> None:
        raise ImportError("libopenjp2.so.7: cannot open shared object file")

    monkeypatch.setattr(JPEG2000LosslessDecoder, "_available", {"gdcm": fail})
    with pytest.raises(MissingExtraError, match=r"a\.dcm: .*cannot be loaded.*force-reinstall"):
        io.read(compressed)
    monkeypatch.setitem(sys.modules, "pydicom.pixels.utils", None)
    with pytest.raises(MissingExtraError, match=r"a\.dcm: .*cannot be loaded.*force-reinstall"):
        io.read(compressed)


def test_a_decoder_that_is_not_installed(compressed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pydicom.pixels.decoders.base import JPEG2000LosslessDecoder

    monkeypatch.setattr(JPEG2000LosslessDecoder, "_available", {})
    monkeypatch.setattr(JPEG2000LosslessDecoder, "_unavailable", {"gdcm": ("gdcm",)})
    with pytest.raises(MissingExtraError, match=r"a\.dcm: no decoder for JPEG 2000"):
        io.read(compressed)
