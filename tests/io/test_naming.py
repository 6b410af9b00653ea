"""Names of scans."""

from __future__ import annotations

import pytest

from deepstd.io.naming import safe_member, stem, stem_of_data, title_of

pydicom = pytest.importorskip("pydicom", reason="needs pydicom: pip install 'deepstd[dicom]'")


@pytest.mark.parametrize(
    ("attributes", "title"),
    [
        ({"SeriesDate": "20260102", "SeriesDescription": "T1 MPRAGE"}, "20260102_T1-MPRAGE"),
        ({"StudyDate": "20260102", "ProtocolName": "ax"}, "20260102_ax"),
        ({"SeriesDate": "2026", "SeriesDescription": "../../etc/passwd"}, "etc-passwd"),
        ({"SeriesDescription": "Schädel/ax"}, "Schädel-ax"),
        ({"SeriesDescription": "ä" * 64}, "ä" * 30),
        ({"SeriesDescription": "..", "SeriesDate": ""}, ""),
        ({}, ""),
    ],
)
def test_titles_of_series(attributes: dict[str, str], title: str) -> None:
    dataset = pydicom.Dataset()
    for keyword, value in attributes.items():
        element = pydicom.DataElement(keyword, pydicom.datadict.dictionary_VR(keyword), "")
        element.validation_mode = pydicom.config.IGNORE
        element.value = value
        dataset.add(element)
    assert title_of(dataset) == title


def test_stems() -> None:
    names = ["a.nii.gz", "A.NII", "x/b.png", ".nii", "c.txt", "d.npy.gz"]
    assert [stem(name) for name in names] == ["a", "A", "x/b", ".nii", "c.txt", "d.npy.gz"]
    data = ["a.raw", "a.RAW.GZ", "a.zraw", "raw", "a.txt"]
    assert [stem_of_data(name) for name in data] == ["a", "a", "a", None, None]


@pytest.mark.parametrize("name", ["a.nii", "x/y z/ü.nii.gz", "IM0001", "-rf", "a..b/c"])
def test_plain_members_keep_their_names(name: str) -> None:
    assert safe_member(name) == name


@pytest.mark.parametrize(
    "name", ["../a.nii", "/a.nii.gz", "a/../b", "a\\b.png", "a//b", "a\nb", ""]
)
def test_other_members_get_a_name_without_a_path(name: str) -> None:
    safe = safe_member(name)
    assert safe.startswith("member-")
    assert not set(safe) & set("/\\:\n")
    assert stem(safe) == safe.partition(".")[0]
    assert safe_member(name + "x") != safe
