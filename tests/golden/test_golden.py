"""Files of every format version and kind still decode to the voxels that they were made with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deepstd import bundle
from deepstd.codec.codec import Codec
from deepstd.container import NO_BUNDLE, parse
from deepstd.container.format import VERSION
from deepstd.errors import BundleNotFoundError
from deepstd.volume import Volume
from tests.golden.record import FOLDER, beginning, facts_of, read_list, unpacked

GOLDEN = read_list()
NAMES = sorted(GOLDEN)
# Of the voxels of integers, those that lie so near to the middle between two that another machine
# may round them to the other. Symbols and reconstruction are exact; the filters after it are not.
MOST_ROUNDED = 0.01
# Of the range of floats.
ROUNDED_BY = 1e-5
SMALLEST_LIST = 40


@pytest.fixture(scope="session")
def codecs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Codec]:
    """A codec of each of the small bundles, by the bundle's digest."""
    folder = tmp_path_factory.mktemp("golden")
    names = [path.stem for path in (FOLDER / "bundles").glob("*.zip")]
    found = [Codec(bundle.load(unpacked(name, folder)), "cpu") for name in names]
    return {codec.bundle.reference.digest.hex(): codec for codec in found}


def codec_of(name: str, data: bytes, codecs: dict[str, Codec]) -> Codec:
    """The codec of a golden file; skips where its bundle is one of the package's, and replaced."""
    wanted = parse(data, name).head.bundle
    if wanted == NO_BUNDLE:
        return next(iter(codecs.values()))
    digest = wanted.digest.hex()
    if digest not in codecs:
        try:
            codecs[digest] = Codec(bundle.load_exact(wanted), "cpu")
        except BundleNotFoundError:
            pytest.skip(f"{wanted.name} {wanted.version} ({digest}) has been replaced by another")
    return codecs[digest]


def assert_as_recorded(volume: Volume, recorded: dict[str, Any], kept: np.ndarray | None) -> None:
    """Check hashes and geometry; where the hash of the voxels differs, how far they lie apart."""
    found = facts_of(volume)
    for fact in ("shape", "dtype", "source_format", "source_header_sha256"):
        assert found[fact] == recorded[fact], fact
    if recorded["affine"] is not None:
        assert volume.affine is not None
        np.testing.assert_allclose(volume.affine, recorded["affine"], rtol=0, atol=1e-12)
    if found["voxels_sha256"] == recorded["voxels_sha256"]:
        return
    assert kept is not None, "the voxels are others"
    assert_near(volume.voxels, kept)


def assert_near(voxels: np.ndarray, kept: np.ndarray) -> None:
    """Check that nothing but the rounding of another machine's floats lies between two scans."""
    ordinary = np.isfinite(kept) if kept.dtype.kind == "f" else np.ones(kept.shape, bool)
    np.testing.assert_array_equal(voxels[~ordinary], kept[~ordinary])
    here, there = voxels[ordinary].astype(np.longdouble), kept[ordinary].astype(np.longdouble)
    difference = np.abs(here - there)
    if kept.dtype.kind == "f":
        assert difference.max() <= ROUNDED_BY * (there.max() - there.min())
    else:
        assert difference.max() <= 1
        assert np.count_nonzero(difference) <= MOST_ROUNDED * kept.size


def test_there_is_a_file_for_every_entry_and_an_entry_for_every_file() -> None:
    assert len(NAMES) >= SMALLEST_LIST
    assert {path.stem for path in FOLDER.glob("*.dstd")} == set(NAMES)
    assert {path.stem for path in FOLDER.glob("*.npz")} == set(NAMES)


def test_every_format_version_that_is_read_has_files() -> None:
    """Version 4 is the only one: files of earlier ones, before the first release, are refused.

    A new version adds files, and those of version 4 stay for as long as it is read.
    """
    versions = {(FOLDER / f"{name}.dstd").read_bytes()[7] for name in NAMES}
    assert VERSION == 4
    assert versions == {4}


def test_every_chunk_is_in_some_file() -> None:
    chunks = set().union(*(entry["chunks"] for entry in GOLDEN.values()))
    assert chunks == {
        *("HEAD", "SRCH", "NOTE", "SPCL", "SHAP", "TEXT", "TILE", "WIEN", "EXAC", "HASH", "RESI")
    }


def test_the_folder_stays_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 1_100_000


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_file_decodes_as_it_did(name: str, codecs: dict[str, Codec]) -> None:
    data = (FOLDER / f"{name}.dstd").read_bytes()
    codec = codec_of(name, data, codecs)
    recorded = GOLDEN[name]
    with np.load(FOLDER / f"{name}.npz") as kept:
        assert_as_recorded(codec.decode(parse(data, name)), recorded, kept["voxels"])
    for level, preview in recorded["previews"].items():
        # Previews end before the filters, so nothing of them is rounded otherwise elsewhere.
        assert_as_recorded(codec.preview(beginning(data, name), int(level)), preview, None)
