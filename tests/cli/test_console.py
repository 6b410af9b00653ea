"""What the command line prints, when names of files hold what drives a terminal."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from deepstd.cli import console
from deepstd.cli.app import main

HOSTILE = "a\nfailed: b\x1b[2K\r\x9b1m\u202e.npy"


def is_plain(text: str) -> bool:
    return all(sign.isprintable() or sign == "\n" for sign in text)


def test_what_is_escaped_and_what_is_not() -> None:
    assert console.escaped("Größe 3 µm\xa0😀") == "Größe 3 µm\xa0😀"
    assert console.escaped("a\nb\x1b\u2028\udcff") == r"a\nb\x1b\u2028\udcff"
    table = console.table(("name", "n"), [("a\nb", "1"), ("c", "2")])
    assert table.splitlines() == ["name  n", "----  -", r"a\nb  1", "c     2"]
    assert console.pairs([("a", "b\nc")]) == r"a  b\nc"


def test_json_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"name": HOSTILE + "\udcff", "more": [1.5, "\x7f"]}
    console.result_json(values)
    text = capsys.readouterr().out
    assert is_plain(text)
    assert json.loads(text) == values


@pytest.mark.skipif(os.name != "posix", reason="no such names there")
def test_names_are_escaped_in_all_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out, back = (tmp_path / name for name in ("in", "out", "back"))
    source.mkdir()
    np.save(source / HOSTILE, np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    (source / f"damaged{HOSTILE}").write_bytes(b"none")
    (source / f"{HOSTILE}.tsv").write_text("a\t20200101\n")
    (source / f"{HOSTILE}.txt").write_text("text")
    places = [str(source), str(out), str(back)]
    key = str(tmp_path / "key")
    for command in (
        ["batch", *places[:2], "--lossless", "--dry-run"],
        ["batch", *places[:2], "--lossless", "--shift-dates", key],
        ["restore", *places[1:]],
        ["verify", str(out), "--against", str(source)],
        ["info", str(source)],
        ["info", str(out / f"{HOSTILE.removesuffix('.npy')}.dstd")],
        ["compress", str(source / HOSTILE), "--lossless"],
        ["compress", str(source / f"damaged{HOSTILE}"), "--lossless"],
        ["compress", str(source / f"missing{HOSTILE}"), "--lossless"],
    ):
        main(command)
        told = capsys.readouterr()
        assert is_plain(told.out + told.err), command
        assert "\nfailed: b" not in told.out + told.err, command
        if command[0] != "info":  # which leaves the codes out
            assert r"\nfailed: b\x1b" in told.out + told.err, command
