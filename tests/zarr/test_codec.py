"""The codec within zarr-python itself."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepstd.errors import DamagedError, MissingExtraError, RateError, UnsupportedFormatError

zarr = pytest.importorskip("zarr", "3.1", reason="needs zarr-python: pip install 'deepstd[zarr]'")

from zarr.registry import register_codec  # noqa: E402

from deepstd.zarr import DeepSTDCodec  # noqa: E402

register_codec("deepstd", DeepSTDCodec)  # a checkout on the path has no entry points
ROOT = Path(__file__).resolve().parents[2]
Phantom = Callable[..., np.ndarray]


def create(store: Any, data: np.ndarray, codec: DeepSTDCodec, **more: Any) -> Any:
    more = {"chunks": (16,) * data.ndim, "compressors": None} | more
    return zarr.create_array(store, data=data, serializer=codec, **more)


@pytest.mark.parametrize("fill", [0, -7])
def test_an_array_with_padded_edges_comes_back(phantom: Phantom, fill: int) -> None:
    store, values = zarr.storage.MemoryStore(), phantom((37, 20, 33))
    create(store, values, DeepSTDCodec(lossless=True), fill_value=fill)
    array = zarr.open_array(store, mode="r")
    np.testing.assert_array_equal(array[...], values)
    np.testing.assert_array_equal(array[30:, 5:18:3, 7], values[30:, 5:18:3, 7])
    array = zarr.open_array(store, mode="r+")
    array[10:20, 10:20, 10:20] = 5
    values[10:20, 10:20, 10:20] = 5
    np.testing.assert_array_equal(array[...], values)


def test_metadata_are_as_the_standard_says(phantom: Phantom) -> None:
    store = zarr.storage.MemoryStore()
    create(store, phantom((16, 16, 16)), DeepSTDCodec(max_error=2))
    described = json.loads(store._store_dict["zarr.json"].to_bytes())
    assert described["codecs"] == [{"name": "deepstd", "configuration": {"max_error": 2.0}}]
    again = DeepSTDCodec.from_dict(described["codecs"][0])
    assert again == DeepSTDCodec(max_error=2)


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "<u2", ">i2", "u4", ">i8", "f2", ">f4", "f8"])
def test_every_type_comes_back(phantom: Phantom, dtype: str) -> None:
    store, values = zarr.storage.MemoryStore(), (phantom((20, 20)) % 97).astype(dtype)
    create(store, values, DeepSTDCodec(lossless=True))
    found = zarr.open_array(store, mode="r")[...]
    assert found.dtype == np.dtype(dtype).newbyteorder("=") or found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("dtype", ["c8", "M8[s]", "S4"])
def test_other_types_are_refused(dtype: str) -> None:
    with pytest.raises(UnsupportedFormatError, match="does not take arrays of type"):
        zarr.create_array(
            zarr.storage.MemoryStore(),
            shape=(8,),
            chunks=(4,),
            dtype=dtype,
            compressors=None,
            serializer=DeepSTDCodec(lossless=True),
        )


def test_chunks_within_shards_and_after_a_transposition(phantom: Phantom) -> None:
    values = phantom((40, 30, 20))
    for more in (
        {"shards": (32, 32, 32)},
        {"filters": [zarr.codecs.TransposeCodec(order=(2, 0, 1))]},
    ):
        store = zarr.storage.MemoryStore()
        create(store, values, DeepSTDCodec(lossless=True), **more)
        np.testing.assert_array_equal(zarr.open_array(store, mode="r")[...], values)


@pytest.mark.usefixtures("only_tiny")
def test_many_threads_share_one_codec(phantom: Phantom) -> None:
    store, values = zarr.storage.MemoryStore(), phantom((32, 32, 32))
    create(store, values, DeepSTDCodec(ratio=6, model="tiny"), chunks=(16, 16, 16))
    array = zarr.open_array(store, mode="r")
    first = array[...]
    assert 0 < np.abs(first.astype(int) - values).max() < 100
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: array[...], range(8)):
            np.testing.assert_array_equal(found, first)


def test_a_damaged_chunk_is_an_error(phantom: Phantom) -> None:
    store = zarr.storage.MemoryStore()
    create(store, phantom((16, 16)), DeepSTDCodec(lossless=True))
    whole = store._store_dict["c/0/0"].to_bytes()
    store._store_dict["c/0/0"] = zarr.core.buffer.cpu.Buffer.from_bytes(whole[:-9])
    with pytest.raises(DamagedError, match="a chunk of"):
        zarr.open_array(store, mode="r")[...]


def test_metadata_of_others_are_refused() -> None:
    with pytest.raises(RateError):
        DeepSTDCodec.from_dict({"name": "deepstd"})
    with pytest.raises(RateError, match="gzip"):
        DeepSTDCodec.from_dict({"name": "gzip", "configuration": {"lossless": True}})


def test_plain_zarr_reads_the_array_in_a_new_process(phantom: Phantom, tmp_path: Path) -> None:
    values = phantom((20, 20, 20))
    create(tmp_path / "scan.zarr", values, DeepSTDCodec(lossless=True))
    # What an installation of the package leaves, from the entry points that pyproject.toml has.
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    about = tmp_path / "site" / "deepstd_codec-0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: deepstd-codec\nVersion: 0\n")
    lines = [f"{name} = {at}" for name, at in declared["entry-points"]["zarr.codecs"].items()]
    (about / "entry_points.txt").write_text("\n".join(["[zarr.codecs]", *lines, ""]))
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]; import zarr\n"
        "array = zarr.open_array(sys.argv[1], mode='r')\n"
        "print(int(array[...].astype(int).sum()), 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "scan.zarr")]
    places = [str(tmp_path / "site"), str(ROOT / "src")]
    done = subprocess.run([*command, *places], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(int(values.astype(int).sum())), "False"]


def test_without_zarr_python_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import deepstd.zarr

    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingExtraError, match=r"deepstd\[zarr\]"):
        deepstd.zarr.__getattr__("DeepSTDCodec")
