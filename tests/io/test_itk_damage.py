"""NRRD and MetaImage files that are damaged, cut short or lie."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from itk_files import SHEARED, VALUES, VOXELS, meta, nrrd, sitk

from deepstd import io
from deepstd.errors import (
    InputError,
)
from deepstd.volume import Volume


class TestBadFiles:
    """Whatever is in a file, ITK is asked only what cannot hurt it."""

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"sizes": "4 3"}, "sizes"),
            ({"sizes": "4 3 -2"}, "sizes"),
            ({"sizes": "4 3 x"}, "sizes"),
            ({"sizes": "4 3 0"}, "sizes"),
            ({"sizes": "10000 10000 10000"}, "declares"),
            ({"sizes": "10000 10000 10000", "encoding": "gzip"}, "declares"),
            ({"sizes": "10000 10000 10000", "encoding": "ascii"}, "declares"),
            ({"sizes": "10000 10000 10000", "encoding": "hex"}, "declares"),
            ({"sizes": "1 1 1", "dimension": "1"}, "sizes"),
            ({"dimension": "1", "sizes": "24"}, "2 to 4 axes"),
            ({"dimension": "5", "sizes": "4 3 2 1 1"}, "2 to 4 axes"),
            ({"dimension": ""}, "dimension"),
            ({"encoding": "bzip2"}, "bzip2"),
            ({"encoding": "gzip"}, "compressed voxels are damaged"),
            ({"encoding": "zip"}, "encoding"),
            ({"type": "block", "block size": "3"}, "block"),
            ({"endian": "middle"}, "endian"),
            ({"kinds": "vector domain domain"}, "vector"),
            ({"kinds": "RGB-color domain domain"}, "RGB"),
            ({"kinds": "domain domain"}, "kinds"),
            ({"spacings": "1 1 inf"}, "spacings"),
            ({"spacings": "1 1"}, "spacings"),
            ({"space": "LPS", "space_directions": "(1,0,0) (0,1,0)"}, "space directions"),
            ({"space": "LPS", "space_directions": "(1,0,0) (0,1,0) (0,0)"}, "geometry"),
            ({"space": "LPS", "space_directions": "(1,0,0) (0,1,0) (0,0,nan)"}, "space directions"),
            ({"space": "LPS", "space_directions": "(1,0,0) (0,1,0) (0,1,0)"}, "singular|geometry"),
            ({"space": "nowhere"}, "geometry"),
            ({"space": "; rm"}, "space"),
            ({"byte_skip": "-1", "encoding": "gzip"}, "byte skip"),
            ({"data_file": "none.raw"}, "none.raw is not there"),
            ({"data_file": "/etc/passwd"}, "own folder"),
            ({"data_file": "../a.raw"}, "own folder"),
            ({"data_file": "a%03d.raw 1 3 1"}, "several files"),
            ({"data_file": "LIST"}, "several files"),
        ],
    )
    def test_nrrd(self, tmp_path: Path, fields: dict[str, Any], words: str) -> None:
        path = nrrd(tmp_path / "a.nrrd", **fields)
        with pytest.raises(InputError, match=rf"a\.nrrd: .*({words})"):
            io.read(path)

    @pytest.mark.parametrize(
        ("keys", "words"),
        [
            ({"NDims": ""}, "NDims"),
            ({"NDims": "999999999"}, "NDims"),
            ({"DimSize": "4 3"}, "DimSize"),
            ({"DimSize": "10000 10000 10000"}, "declares"),
            ({"DimSize": "10000 10000 10000", "CompressedData": "True"}, "declares"),
            ({"DimSize": "10000 10000 10000", "BinaryData": "False"}, "declares"),
            ({"BinaryData": "False", "DimSize": "2 2 2"}, "found|not a number"),
            ({"CompressedData": "True"}, "compressed voxels are damaged"),
            ({"ElementNumberOfChannels": "3"}, "several values"),
            ({"ElementType": "MET_FLOAT_ARRAY"}, "MET_FLOAT_ARRAY"),
            ({"ElementType": ""}, "type"),
            ({"ObjectType": "Tube"}, "not an image"),
            ({"TransformMatrix": "1 0 0 0 1 0"}, "TransformMatrix"),
            ({"TransformMatrix": "1 0 0 0 1 0 0 0 0"}, "singular|geometry"),
            ({"Offset": "1 2 nan"}, "Offset"),
            ({"ElementSpacing": "1 2"}, "ElementSpacing"),
            ({"ElementSpacing": "1 2 0"}, "geometry|positive"),
            ({"HeaderSize": "-1"}, "HeaderSize"),
            ({"ElementDataFile": "LIST"}, "several files"),
            ({"ElementDataFile": "a%03d.raw 1 3 1"}, "several files"),
            ({"ElementDataFile": "/etc/passwd"}, "own folder"),
            ({"ElementDataFile": "..\\a.raw"}, "own folder"),
            ({"ElementDataFile": "none.raw"}, "not there"),
        ],
    )
    def test_metaimage(self, tmp_path: Path, keys: dict[str, Any], words: str) -> None:
        path = meta(tmp_path / "a.mha", **keys)
        with pytest.raises(InputError, match=rf"a\.mha: .*({words})"):
            io.read(path)

    @pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
    @pytest.mark.parametrize("compressed", [False, True])
    def test_cut_short_or_damaged(self, tmp_path: Path, suffix: str, compressed: bool) -> None:
        values = np.random.default_rng(0).integers(0, 999, (5, 6, 7), dtype=np.int16)
        path = tmp_path / f"a{suffix}"
        sitk.WriteImage(sitk.GetImageFromArray(values), str(path), useCompression=compressed)
        data = path.read_bytes()
        for length in range(12, len(data), 11):
            path.write_bytes(data[:length])
            with pytest.raises(InputError, match=rf"a\{suffix}: "):
                io.read(path)
        first = len(data) - (values.nbytes // 2)
        for position in range(first, len(data), 7) if compressed else ():
            path.write_bytes(data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :])
            with pytest.raises(InputError, match=rf"a\{suffix}: "):
                io.read(path)

    @pytest.mark.parametrize("kind", ["nrrd", "mha"])
    @given(st.lists(st.tuples(st.integers(0, 299), st.binary(max_size=6)), min_size=1, max_size=4))
    def test_any_header(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        kind: str,
        changes: list[tuple[int, bytes]],
    ) -> None:
        path = tmp_path_factory.mktemp("any") / f"a.{kind}"
        if kind == "nrrd":
            directions = "(1,0,0) (0,1,0) (0,0,1)"
            nrrd(path, space="LPS", space_directions=directions, kinds="domain domain domain")
        else:
            meta(path, TransformMatrix="1 0 0 0 1 0 0 0 1", ElementSpacing="1 1 2", Offset="1 1 1")
        data = bytearray(path.read_bytes())
        for position, new in changes:
            position %= len(data) - VALUES.nbytes
            data[position : position + len(new)] = new
        path.write_bytes(data)
        message = str(path)
        try:
            assert io.read(path).affine is not None
        except InputError as error:
            message = str(error)
        assert str(path) in message

    def test_a_bomb_is_not_inflated(self, tmp_path: Path) -> None:
        data = gzip.compress(bytes(1 << 24))
        path = nrrd(tmp_path / "a.nrrd", data, encoding="gzip", sizes="4 3 2")
        with pytest.raises(InputError, match=r"a\.nrrd.*header is wrong"):
            io.read(path)

    def test_nothing_goes_past_python_to_stderr(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        io.read(meta(tmp_path / "a.mha"))
        with pytest.raises(InputError):
            io.read(meta(tmp_path / "b.mha", TransformMatrix="1 0 0 0 1 0 0 0 0"))
        io.write(Volume(VOXELS, SHEARED), tmp_path / "c.nrrd")
        assert capfd.readouterr() == ("", "")
