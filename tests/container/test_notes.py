"""Notes in a file: they come back, fit their room, and are safe to print."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstd.container.notes import MOST_TEXT_BYTES, pack_notes, printable, unpack_notes
from deepstd.errors import DamagedError

TILT = "slices are tilted by 18.5 degrees (gantry): the affine is sheared"
texts = st.lists(st.text(max_size=200), max_size=6)


@given(texts)
def test_notes_come_back_printable(notes: list[str]) -> None:
    payload = pack_notes(notes, 1 << 20)
    expected = tuple(text for note in notes if (text := printable(note)))
    assert (unpack_notes(payload, "f") if payload else ()) == expected


@given(texts, st.integers(0, 120))
def test_the_first_notes_are_kept_that_fit(notes: list[str], room: int) -> None:
    payload = pack_notes(notes, room)
    assert len(payload) <= room
    kept = unpack_notes(payload, "f") if payload else ()
    expected = tuple(text for note in notes if (text := printable(note)))
    assert kept == expected[: len(kept)]
    if len(kept) < len(expected):
        assert len(pack_notes(notes[: _through(notes, len(kept))], 1 << 20)) > room


def _through(notes: list[str], count: int) -> int:
    """How many notes there are up to the one after ``count`` that say something."""
    saying = [n for n, note in enumerate(notes) if printable(note)]
    return saying[count] + 1


def test_usual_notes_take_few_bytes() -> None:
    assert len(pack_notes([TILT], 1 << 20)) < len(TILT) / 3


def test_no_more_text_is_kept_than_is_read() -> None:
    notes = ["a b" * 400] * 5
    payload = pack_notes(notes, 1 << 20)
    assert len("\n".join(unpack_notes(payload, "f"))) <= MOST_TEXT_BYTES
    assert len(unpack_notes(payload, "f")) == 3


@given(st.text(max_size=100))
def test_nothing_printable_moves_a_terminal(text: str) -> None:
    for sign in printable(text):
        assert sign == " " or unicodedata.category(sign)[0] not in "CZ"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("two\nlines\u2028three", "two lines three"),
        ("right\u202eto left", "rightto left"),
        ("  spaced\t out ", "spaced out"),
    ],
)
def test_what_is_taken_out(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert unpack_notes(b"\0" + text.encode(), "f") == tuple(printable(t) for t in text.split("\n"))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x02text",
        b"\0\xff\xfe",
        b"\x01not deflated",
        pack_notes([TILT], 1 << 20)[:-1],
        pack_notes([TILT], 1 << 20) + b"x",
        b"\0" + b"a" * (MOST_TEXT_BYTES + 1),
    ],
)
def test_malformed_payloads_are_damage(payload: bytes) -> None:
    with pytest.raises(DamagedError, match="f is damaged: its notes"):
        unpack_notes(payload, "f")


def test_a_bomb_is_not_inflated() -> None:
    import zlib

    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"\x01" + deflater.compress(bytes(1 << 24)) + deflater.flush()
    with pytest.raises(DamagedError, match="at most 4096 bytes"):
        unpack_notes(bomb, "f")
