"""Private attributes that identify nobody: table E.3.10-1 of PS3.15, edition 2026d.

private creator, group ─ table ─▶ elements of its block that may be kept

Sequences and bytes of the table are left out: what they hold inside is not listed anywhere.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset

# Last two hexadecimal digits of the elements, single or as ranges, by creator and group.
_TABLE = {
    ("ELSCINT1", 0x00E1): "21 50",
    ("ELSCINT1", 0x01E1): "26",
    ("ELSCINT1", 0x01F1): "01 07 26-27",
    ("GEIIS PACS", 0x0903): "10-12",
    ("GEMS_ACQU_01", 0x0019): "23-24 27 9E",
    ("GEMS_HELIOS_01", 0x0045): "01-02",
    ("GEMS_PARM_01", 0x0043): "27 39 6F",
    ("GEMS_SERS_01", 0x0025): "07",
    ("HOLOGIC, Inc.", 0x7E01): "01-02",
    ("NQHeader", 0x0099): "01-02 04-05 10 20-21",
    ("NQLeft", 0x0199): "01-16",
    ("NQRight", 0x0299): "01-16",
    ("Philips Imaging DD 001", 0x2001): "01-0C 0E-1F 21-51 53-5A 5D-5E 60-64 67 6D-6E 71-72 74-77 "
    "7A-7C 7E-8C 90-94 9B 9D 9F A1-A5 C0-C3 CB D0-DF F1-F7",
    ("Philips Imaging DD 002", 0x2001): "01-39 3E-40 50 52-53 5A 5C-5E 63 65-68 6B 71-75",
    ("Philips Imaging DD 097", 0x2001): "02-04 07 0D 0F 17-1F 21-28 2A-2D 30-32 36-3B 3D 40-41 "
    "44-46 4B-4C A1-A6 A8 AA-AB",
    ("Philips Imaging DD 129", 0x2001): "03 05-09",
    ("Philips MR Imaging DD 001", 0x2005): "0D-0E",
    ("Philips PET Private Group", 0x7053): "00 09",
    ("SIEMENS MR HEADER", 0x0019): "0C-0E 27",
    ("SIEMENS SYNGO ULTRA-SOUND TOYON DATA STREAMING", 0x7FD1): "09",
    ("SIEMENS Ultrasound SC2000", 0x0119): "00 05-09 10-13 21",
    ("SIEMENS Ultrasound SC2000", 0x0129): "02-05 07 12 30",
    ("SIEMENS Ultrasound SC2000", 0x0139): "01",
    ("SIEMENS Ultrasound SC2000", 0x0149): "01-03",
    ("SIEMENS Ultrasound SC2000", 0x7FD1): "09",
}
_NESTED_OR_BYTES = ("SQ", "OB", "OD", "OF", "OL", "OV", "OW", "PN", "DA", "DT", "TM")


def safe_tags(dataset: Dataset) -> frozenset[int]:
    """Return the tags of a data set's safe private attributes and of the creators they need."""
    kept: set[int] = set()
    for element in dataset:
        tag = element.tag
        if not tag.is_private or tag.is_private_creator or element.VR in _NESTED_OR_BYTES:
            continue
        creator = (tag.group << 16) | (tag.element >> 8)
        name = str(dataset[creator].value).strip() if creator in dataset else ""
        if tag.element & 0xFF in _elements(name, tag.group):
            kept |= {int(tag), creator}
    return frozenset(kept)


@cache
def _elements(creator: str, group: int) -> frozenset[int]:
    parts = (part.partition("-") for part in _TABLE.get((creator, group), "").split())
    return frozenset(n for a, _, b in parts for n in range(int(a, 16), int(b or a, 16) + 1))
