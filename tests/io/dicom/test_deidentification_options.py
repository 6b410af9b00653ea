"""Options between the basic profile and everything: safe private, descriptions, dates, tags."""

from __future__ import annotations

import stat
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pydicom = pytest.importorskip("pydicom", reason="needs pydicom: pip install 'deepstd[dicom]'")

from pydicom import Dataset, Sequence  # noqa: E402  after the check that it is there
from pydicom.config import IGNORE  # noqa: E402
from pydicom.dataelem import DataElement  # noqa: E402

from deepstd import io  # noqa: E402
from deepstd.errors import InputError  # noqa: E402
from deepstd.io import Deidentification, Metadata, date_key  # noqa: E402
from deepstd.io.dicom.descriptions import cleaned, identifying_words  # noqa: E402
from deepstd.io.dicom.header import datasets_of, facts_of  # noqa: E402
from deepstd.io.dicom.named_tags import tags_named  # noqa: E402
from deepstd.io.dicom.privacy import deidentify  # noqa: E402

KEY = bytes(range(32))
DATES = Deidentification(date_key=KEY)
CODES = {"113100", "113105", "113107", "113111"}


def patient(**values: Any) -> Dataset:
    dataset = Dataset()
    dataset.PatientID, dataset.PatientName = "PID-4711", "Doe^Jane"
    dataset.StudyInstanceUID = "1.2.3"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def moment(dataset: Dataset, what: str = "Study") -> datetime:
    told = f"{dataset[f'{what}Date'].value}{dataset[f'{what}Time'].value}"
    return datetime.strptime(told, "%Y%m%d%H%M%S")


def stated(dataset: Dataset) -> set[str]:
    return {item.CodeValue for item in dataset.get("DeidentificationMethodCodeSequence", [])}


instants = st.datetimes(datetime(1980, 1, 1), datetime(2030, 1, 1)).map(
    lambda when: when.replace(microsecond=0)
)


@given(instants, instants, st.binary(min_size=32, max_size=32))
def test_time_between_two_events_of_a_patient_stays(
    one: datetime, other: datetime, key: bytes
) -> None:
    moved = []
    for when in (one, other):
        dataset = patient(StudyDate=f"{when:%Y%m%d}", StudyTime=f"{when:%H%M%S}")
        dataset.AcquisitionDateTime = f"{when:%Y%m%d%H%M%S}.250000+0100"
        deidentify(dataset, Deidentification(date_key=key))
        moved.append(moment(dataset))
        assert dataset.AcquisitionDateTime == f"{moved[-1]:%Y%m%d%H%M%S}.250000+0100"
        assert timedelta(days=30) <= when - moved[-1] <= timedelta(days=3650)
    assert moved[1] - moved[0] == other - one


def test_each_patient_and_each_key_has_a_span_of_its_own() -> None:
    def span(name: str, key: bytes) -> timedelta:
        dataset = patient(PatientID=name, StudyDate="20200229", StudyTime="120000")
        deidentify(dataset, Deidentification(date_key=key))
        return datetime(2020, 2, 29, 12) - moment(dataset)

    spans = {span(name, key) for name in ("a", "b", "c") for key in (KEY, KEY[::-1])}
    assert len(spans) == 6
    assert span("a", KEY) == span("a", KEY)


def test_dates_and_times_of_every_form() -> None:
    dataset = patient(StudyDate="20200229", StudyTime="0030", PatientBirthDate="19610203")
    dataset.SeriesDate, dataset.AcquisitionTime = "20200301", "235959.123456"
    item = Dataset()
    item.RadiopharmaceuticalStartTime, item.RadiopharmaceuticalStartDateTime = "10", "202002"
    dataset.RadiopharmaceuticalInformationSequence = Sequence([item])
    odd = DataElement("DateOfSecondaryCapture", "DA", "no date", validation_mode=IGNORE)
    dataset.add(odd)
    deidentify(dataset, DATES)
    inner = dataset.RadiopharmaceuticalInformationSequence[0]
    assert len(dataset.StudyTime) == 4
    assert len(dataset.AcquisitionTime) == len("235959.123456")
    assert dataset.AcquisitionTime.endswith(".123456")
    assert len(inner.RadiopharmaceuticalStartTime) == 2
    assert len(inner.RadiopharmaceuticalStartDateTime) == 6
    days = datetime.strptime(dataset.SeriesDate, "%Y%m%d") - datetime(2020, 3, 1)
    assert timedelta(days=-3651) <= days <= timedelta(days=-29)
    assert not dataset.get("PatientBirthDate")  # no option keeps it
    assert "DateOfSecondaryCapture" not in dataset
    assert dataset.LongitudinalTemporalInformationModified == "MODIFIED"
    assert stated(dataset) == {"113100", "113107"}


def test_the_key_is_in_no_text() -> None:
    assert KEY.hex() not in repr(DATES) + str(DATES)
    assert str(DATES) != str(Deidentification(date_key=KEY[::-1]))


def test_a_key_file_is_made_once_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "dates.key"
    key = date_key(path)
    assert date_key(path) == key
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["dates.key"]
    date_key(tmp_path / "planned", make=False)
    assert not (tmp_path / "planned").exists()


@pytest.mark.parametrize("data", [b"", b"secret", b'{"kind":"x"}', b'{"kind":"deepstd dates"}'])
def test_another_file_is_no_key_file_and_stays(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "notes"
    path.write_bytes(data)
    with pytest.raises(InputError, match="is no key file for dates"):
        date_key(path)
    assert path.read_bytes() == data


def with_private(**values: Any) -> Dataset:
    dataset = patient(**values)
    block = dataset.private_block(0x0019, "GEMS_ACQU_01", create=True)
    block.add_new(0x23, "DS", "5.0")
    block.add_new(0x25, "LO", "Doe^Jane")
    other = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    other.add_new(0x0C, "IS", "1000")
    other.add_new(0x23, "LO", "Doe^Jane")
    unknown = dataset.private_block(0x0021, "OUR CLINIC", create=True)
    unknown.add_new(0x23, "DS", "4711")
    return dataset


def test_safe_private_attributes_are_kept_with_their_creators_and_no_others() -> None:
    dataset = with_private()
    nested = with_private()
    dataset.PerFrameFunctionalGroupsSequence = Sequence([nested])
    deidentify(dataset, Deidentification(safe_private=True))
    for one in (dataset, dataset.PerFrameFunctionalGroupsSequence[0]):
        private = {int(e.tag): str(e.value) for e in one if e.tag.is_private}
        assert private == {
            0x00190010: "GEMS_ACQU_01",
            0x00190011: "SIEMENS MR HEADER",
            0x00191023: "5.0",
            0x0019110C: "1000",
        }
    assert stated(dataset) == {"113100", "113111"}


def test_without_the_option_no_private_attribute_is_kept() -> None:
    dataset = with_private()
    deidentify(dataset)
    assert not [e for e in dataset if e.tag.is_private]
    assert not stated(dataset)


def test_a_safe_element_under_a_false_creator_is_not_safe() -> None:
    dataset = patient()
    dataset.private_block(0x0019, "GEMS_PARM_01", create=True).add_new(0x23, "DS", "4711")
    dataset.add_new(0x00191124, "DS", "4711")  # a block that nobody reserved
    deidentify(dataset, Deidentification(safe_private=True))
    assert not [e for e in dataset if e.tag.is_private]


def test_descriptions_lose_what_the_data_set_tells_of_people() -> None:
    dataset = patient(AccessionNumber="AC77", InstitutionName="St. Elsewhere")
    dataset.ReferringPhysicianName = "Who^Theodore"
    dataset.StudyDescription = "CT Thorax DOE, jane 03.02.1961 AC77"
    dataset.SeriesDescription = "T1 MPRAGE 1mm for Dr. Strange, call 5551234"
    dataset.ProtocolName = "elsewhere_liver_3mm"
    dataset.ImageComments = "seen by Jane Doe"
    dataset.RequestAttributesSequence = Sequence([patient(StudyDescription="inner")])
    deidentify(dataset, Deidentification(descriptions=True))
    assert dataset.StudyDescription == "CT Thorax"
    assert dataset.SeriesDescription == "T1 MPRAGE 1mm for , call"
    assert dataset.ProtocolName == "liver_3mm"
    assert "ImageComments" not in dataset
    assert "RequestAttributesSequence" not in dataset
    assert stated(dataset) == {"113100", "113105"}


def test_a_description_of_nothing_but_a_name_goes() -> None:
    dataset = patient(SeriesDescription="Doe^Jane")
    deidentify(dataset, Deidentification(descriptions=True))
    assert "SeriesDescription" not in dataset


names = st.text(st.characters(categories=["Lu", "Ll"], max_codepoint=0x17F), min_size=3)


@given(names, st.sampled_from(["1 {} 3", "{}", "7_{}_8", "9({})"]))
def test_no_name_of_the_patient_survives_in_a_description(name: str, form: str) -> None:
    words = identifying_words(patient(PatientName=f"{name}^X"))
    assert name.lower() not in cleaned(form.format(name), words).lower()


def test_named_tags() -> None:
    names = ["StudyDate", "0008,0030", "(0018,0015)", " 00100040 "]
    assert list(tags_named(names).values()) == [
        "StudyDate",
        "StudyTime",
        "BodyPartExamined",
        "PatientSex",
    ]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("StudyDat", "Did you mean StudyDate"),
        ("0009,1001", "not private"),
        ("xyzzy", "no attribute"),
        ("PixelData", "another form"),
        ("TransferSyntaxUID", "made anew"),
    ],
)
def test_unknown_tags_are_refused(name: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        tags_named([name])


def test_named_tags_are_kept_at_every_depth_and_stated() -> None:
    dataset = patient(StudyDate="20200229", StationName="ROOM 3", PatientSex="F")
    dataset.PerFrameFunctionalGroupsSequence = Sequence([patient(StationName="ROOM 4")])
    deidentify(dataset, Deidentification(keep=("StudyDate", "0008,1010", "StudyInstanceUID")))
    assert (dataset.StudyDate, dataset.StationName) == ("20200229", "ROOM 3")
    assert dataset.StudyInstanceUID == "1.2.3"
    assert dataset.PerFrameFunctionalGroupsSequence[0].StationName == "ROOM 4"
    assert "PatientSex" not in dataset or not dataset.PatientSex
    assert dataset.PatientIdentityRemoved == "YES"
    assert "kept: StationName" in list(dataset.DeidentificationMethod)


def test_a_kept_name_is_no_removed_identity() -> None:
    dataset = patient()
    deidentify(dataset, Deidentification(keep=("PatientName",)))
    assert str(dataset.PatientName) == "Doe^Jane"
    assert dataset.PatientIdentityRemoved == "NO"


def test_a_kept_sequence_is_cleaned_inside() -> None:
    dataset = patient(ReferencedStudySequence=Sequence([patient()]))
    deidentify(dataset, Deidentification(keep=("ReferencedStudySequence",)))
    assert "Doe" not in str(dataset.ReferencedStudySequence[0])


def test_through_a_file_and_back(
    save_series: Callable[..., Path], ramp: np.ndarray, tmp_path: Path
) -> None:
    folder = save_series(
        ramp,
        [(0, 0, k) for k in range(5)],
        StudyDate="20200229",
        StudyTime="101112",
        SeriesDescription="Doe chest 3mm",
    )
    how = Deidentification(True, True, KEY, ("PatientSex", "SOPInstanceUID"))
    scan = io.read(folder, metadata=how)
    assert facts_of(scan.source.raw).metadata == Metadata.DEIDENTIFIED
    io.write(scan, f"{tmp_path}/out/")
    back = [pydicom.dcmread(path) for path in (tmp_path / "out").iterdir()]
    assert {one.SeriesDescription for one in back} == {"chest 3mm"}
    assert {str(moment(one) - datetime(2020, 2, 29, 10, 11, 12)) for one in back} != {"0:00:00"}
    assert len({moment(one) for one in back}) == 1
    assert all(stated(one) == CODES for one in back)
    before = {str(pydicom.dcmread(path).SOPInstanceUID) for path in folder.iterdir()}
    after = {str(one.SourceImageSequence[0].ReferencedSOPInstanceUID) for one in back}
    assert after == before


def test_of_a_real_series(data_dir: Path) -> None:
    """A brain MR of GE: b-value and pulse sequence stay, one span for all 22 slices."""
    folder = data_dir / "dicom" / "mr-brain-t1post"
    how = Deidentification(safe_private=True, descriptions=True, date_key=KEY)
    kept = datasets_of(io.read(folder, metadata=how).source.raw)
    plain = datasets_of(io.read(folder).source.raw)
    original = [pydicom.dcmread(path, stop_before_pixels=True) for path in folder.glob("*.dcm")]
    assert len(kept) == len(original)
    assert {one[0x0019109E].value for one in kept} == {one[0x0019109E].value for one in original}
    assert {str(one.SeriesDescription) for one in kept} == {"T1post"}
    spans = {moment(a) - moment(original[0]) for a in kept}
    assert len(spans) == 1
    assert all(not one.get("StudyDate") for one in plain)
    assert all(not [e for e in one if e.tag.is_private] for one in plain)
