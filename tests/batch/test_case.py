"""Messages about a case: without the place of the folder, and without any name where asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deepstd.batch.case import Case
from deepstd.io import ScanSource

ROOT = Path("/data/Clinic Doe")
FILES = (ROOT / "Doe Jane" / "IM_Doe1", ROOT / "Doe Jane" / "IM_Doe2")
SERIES = Case(ScanSource(FILES, "1a2b3c4d", "Doe Jane/1a2b3c4d", 1), ROOT, "")
MEMBER = Case(
    ScanSource((ROOT / "Doe.zip",), None, "Doe.zip/Jane/s", 1, members=("Jane/s.nii",)), ROOT, ""
)

MESSAGES = [
    (SERIES, f"{FILES[0]}: PixelSpacing is not above zero. The header is damaged"),
    (SERIES, f"2 slices at (0, 0, 1) mm ({FILES[0]}, {FILES[1]}). Some are missing"),
    (SERIES, f"FileNotFoundError: [Errno 2] No such file or directory: '{FILES[1]}'"),
    (SERIES, f"{ROOT}/Doe Jane/other, {ROOT / 'Doe Jane'}: cannot be listed"),
    (SERIES, "IM_Doe2 is not like IM_Doe1"),
    (MEMBER, f"{ROOT}/Doe.zip:Jane/s.nii: cannot be unpacked (BadZipFile)"),
    (MEMBER, "Jane/s.nii in Doe.zip has no end; s.nii is cut short"),
]


@pytest.mark.parametrize(("case", "message"), MESSAGES)
def test_no_name_is_left_in_a_message_of_an_anonymous_case(case: Case, message: str) -> None:
    case = replace(case, output="scan-0123456789abcdef", is_anonymous=True)
    told = case.without_root(message)
    assert not [name for name in ("Doe", "Jane", "IM_", "s.nii", "/data") if name in told]
    assert case.source == case.name == "scan-0123456789abcdef"
    kept = ("above zero", "Some are missing", "Errno 2", "cannot", "is not like", "cut short")
    assert any(words in told for words in kept)


@pytest.mark.parametrize(("case", "message"), MESSAGES)
def test_only_the_place_of_the_folder_is_left_out_of_other_messages(
    case: Case, message: str
) -> None:
    told = case.without_root(message)
    assert f"{ROOT}/" not in told
    assert told == message.removeprefix(f"{FILES[0]}: ").removeprefix(
        f"{ROOT}/Doe.zip:Jane/s.nii: "
    ).replace(f"{ROOT}/", "")


def test_the_source_of_a_case() -> None:
    assert (SERIES.source, MEMBER.source) == ("Doe Jane/1a2b3c4d", "Doe.zip/Jane/s.nii")
    assert MEMBER.facts()["source"] == "Doe.zip/Jane/s.nii"
