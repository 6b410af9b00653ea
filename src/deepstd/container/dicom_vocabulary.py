"""Deflate dictionary of usual DICOM attributes, for the kept data sets of DICOM files.

elements in the order of data sets, each as explicit little-endian bytes ─▶ VOCABULARY

A part of the file format: a byte changed here makes earlier files unreadable.
"""

from __future__ import annotations

import struct

_Element = tuple[int, int, str, str]

# Names and values of the standard (PS3.3, PS3.15, PS3.16), and usual values of scanners.
_X_RAY: tuple[_Element, ...] = (
    (0x0008, 0x0060, "CS", "DX"),
    (0x0008, 0x0068, "CS", "FOR PRESENTATION"),
    (0x0018, 0x1164, "DS", r"0.139\0.139"),
    (0x0018, 0x1508, "CS", "CARM"),
    (0x0018, 0x5101, "CS", "PA"),
    (0x0020, 0x0020, "CS", r"L\F"),
    (0x0020, 0x0062, "CS", "U"),
    (0x0028, 0x1040, "CS", "LOG"),
    (0x0028, 0x1041, "SS", "\0\1"),
    (0x2050, 0x0020, "CS", "IDENTITY"),
)
_MR: tuple[_Element, ...] = (
    (0x0008, 0x0008, "CS", r"ORIGINAL\PRIMARY\M\ND\NORM"),
    (0x0008, 0x0060, "CS", "MR"),
    (0x0008, 0x0070, "LO", "GE MEDICAL SYSTEMS"),
    (0x0018, 0x0020, "CS", "SE"),
    (0x0018, 0x0021, "CS", r"SK\SP\OSP"),
    (0x0018, 0x0022, "CS", "FAST_GEMS"),
    (0x0018, 0x0023, "CS", "2D"),
    (0x0018, 0x0024, "SH", "*tfl3d1"),
    (0x0018, 0x0025, "CS", "N"),
    (0x0018, 0x0050, "DS", "1"),
    (0x0018, 0x0080, "DS", "2000"),
    (0x0018, 0x0081, "DS", "30"),
    (0x0018, 0x0082, "DS", "900"),
    (0x0018, 0x0083, "DS", "1"),
    (0x0018, 0x0084, "DS", "63.87"),
    (0x0018, 0x0085, "SH", "1H"),
    (0x0018, 0x0086, "IS", "1"),
    (0x0018, 0x0087, "DS", "1.5"),
    (0x0018, 0x0088, "DS", "1"),
    (0x0018, 0x0089, "IS", "256"),
    (0x0018, 0x0091, "IS", "1"),
    (0x0018, 0x0093, "DS", "100"),
    (0x0018, 0x0094, "DS", "100"),
    (0x0018, 0x0095, "DS", "130"),
    (0x0018, 0x1250, "SH", "HEAD"),
    (0x0018, 0x1310, "US", "\0\1\0\0\0\0\0\1"),
    (0x0018, 0x1312, "CS", "ROW"),
    (0x0018, 0x1314, "DS", "90"),
    (0x0018, 0x1315, "CS", "N"),
    (0x0018, 0x1316, "DS", "0.1"),
    (0x0018, 0x5100, "CS", "HFS"),
    (0x0020, 0x0100, "IS", "1"),
    (0x0020, 0x0105, "IS", "1"),
)
_DEIDENTIFIED = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113101", "Clean Pixel Data Option"),
    ("113105", "Clean Descriptors Option"),
    ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    ("113107", "Retain Longitudinal With Modified Dates Option"),
    ("113108", "Retain Patient Characteristics Option"),
    ("113109", "Retain Device Identity Option"),
    ("113111", "Retain Safe Private Option"),
)
_BEGINNING: tuple[_Element, ...] = (
    (0x0008, 0x0005, "CS", "ISO_IR 100"),
    (0x0008, 0x0008, "CS", r"DERIVED\SECONDARY\AXIAL"),
    (0x0008, 0x0008, "CS", r"ORIGINAL\PRIMARY\AXIAL"),
    (0x0008, 0x0016, "UI", "1.2.840.10008.5.1.4.1.1.2\0"),
    (0x0008, 0x0018, "UI", "1.2.826.0.1.3680043.8.498."),
    (0x0008, 0x0020, "DA", ""),
    (0x0008, 0x0021, "DA", "19000101"),
    (0x0008, 0x0022, "DA", "19000101"),
    (0x0008, 0x0023, "DA", "19000101"),
    (0x0008, 0x0030, "TM", ""),
    (0x0008, 0x0031, "TM", "000000"),
    (0x0008, 0x0032, "TM", "000000"),
    (0x0008, 0x0033, "TM", "000000"),
    (0x0008, 0x0050, "SH", ""),
    (0x0008, 0x0060, "CS", "CT"),
    (0x0008, 0x0070, "LO", "GE MEDICAL SYSTEMS"),
    (0x0008, 0x0070, "LO", "TOSHIBA"),
    (0x0008, 0x0070, "LO", "Philips"),
    (0x0008, 0x0070, "LO", "SIEMENS"),
    (0x0008, 0x0090, "PN", ""),
    (0x0008, 0x1090, "LO", "LightSpeed VCT"),
    (0x0008, 0x1090, "LO", "Sensation 16"),
    (0x0010, 0x0010, "PN", ""),
    (0x0010, 0x0020, "LO", "REMOVED"),
    (0x0010, 0x0030, "DA", ""),
    (0x0010, 0x0040, "CS", ""),
    (0x0012, 0x0062, "CS", "YES"),
    (0x0012, 0x0063, "LO", "DICOM PS3.15 basic profile, 2026c"),
)
_END: tuple[_Element, ...] = (
    (0x0018, 0x0010, "LO", "CONTRAST"),
    (0x0018, 0x0015, "CS", "CHEST"),
    (0x0018, 0x0022, "CS", "HELICAL MODE"),
    (0x0018, 0x0050, "DS", "5"),
    (0x0018, 0x0060, "DS", "120"),
    (0x0018, 0x0088, "DS", "5"),
    (0x0018, 0x0090, "DS", "500"),
    (0x0018, 0x1020, "LO", ""),
    (0x0018, 0x1100, "DS", "360"),
    (0x0018, 0x1110, "DS", "1040"),
    (0x0018, 0x1111, "DS", "570"),
    (0x0018, 0x1120, "DS", "0"),
    (0x0018, 0x1130, "DS", "150"),
    (0x0018, 0x1140, "CS", "CW"),
    (0x0018, 0x1150, "IS", "500"),
    (0x0018, 0x1151, "IS", "300"),
    (0x0018, 0x1152, "IS", "150"),
    (0x0018, 0x1160, "SH", "BODY FILTER"),
    (0x0018, 0x1170, "IS", "48"),
    (0x0018, 0x1190, "DS", "1.2"),
    (0x0018, 0x1210, "SH", "STANDARD"),
    (0x0018, 0x5100, "CS", "HFS"),
    (0x0020, 0x000D, "UI", "1.2.826.0.1.3680043.8.498."),
    (0x0020, 0x000E, "UI", "1.2.826.0.1.3680043.8.498."),
    (0x0020, 0x0010, "SH", ""),
    (0x0020, 0x0011, "IS", "2"),
    (0x0020, 0x0012, "IS", "1"),
    (0x0020, 0x0013, "IS", "1"),
    (0x0020, 0x0032, "DS", r"-180.0\-180.0\0"),
    (0x0020, 0x0037, "DS", r"1.000000\0.000000\0.000000\0.000000\1.000000\0.000000"),
    (0x0020, 0x0037, "DS", r"1\0\0\0\1\0"),
    (0x0020, 0x0052, "UI", "1.2.826.0.1.3680043.8.498."),
    (0x0020, 0x0060, "CS", ""),
    (0x0020, 0x1040, "LO", ""),
    (0x0020, 0x1041, "DS", "-100.0"),
    (0x0028, 0x0002, "US", "\1\0"),
    (0x0028, 0x0004, "CS", "MONOCHROME2"),
    (0x0028, 0x0010, "US", "\0\2"),
    (0x0028, 0x0011, "US", "\0\2"),
    (0x0028, 0x0030, "DS", r"0.703125\0.703125"),
    (0x0028, 0x0100, "US", "\x10\0"),
    (0x0028, 0x0101, "US", "\x10\0"),
    (0x0028, 0x0102, "US", "\x0f\0"),
    (0x0028, 0x0103, "US", "\1\0"),
    (0x0028, 0x0101, "US", "\x0c\0"),
    (0x0028, 0x0102, "US", "\x0b\0"),
    (0x0028, 0x0103, "US", "\0\0"),
    (0x0028, 0x0120, "US", "\x30\xf8"),
    (0x0028, 0x0303, "CS", "MODIFIED"),
    (0x0028, 0x1050, "DS", "40"),
    (0x0028, 0x1051, "DS", "400"),
    (0x0028, 0x1052, "DS", "-1024"),
    (0x0028, 0x1053, "DS", "1"),
    (0x0028, 0x1054, "LO", "HU"),
    (0x0028, 0x1055, "LO", r"WINDOW1\WINDOW2"),
    (0x0032, 0x000A, "CS", "READ"),
    (0x0032, 0x000C, "CS", "MED"),
)
_HEAD = (
    '{"affine":[[-0.703125,0.0,0.0,180.0],[0.0,-0.703125,0.0,180.0],[0.0,0.0,5.0,-100.0]],'
    '"slope":1.0,"intercept":-1024.0,"photometric":"MONOCHROME2","bits":16,"modality":"CT",'
    '"sop_class":"1.2.840.10008.5.1.4.1.1.2","metadata":"deidentified","sets":1}'
)


def _element(group: int, number: int, kind: str, value: str) -> bytes:
    raw = value.encode("latin-1")
    raw += b" " * (len(raw) % 2)
    return struct.pack("<HH2sH", group, number, kind.encode(), len(raw)) + raw


def _data_set(elements: tuple[_Element, ...]) -> bytes:
    return b"".join(_element(*element) for element in elements)


def _sequence() -> bytes:
    """Encode the De-identification Method Code Sequence."""
    parts = [struct.pack("<HH2sHI", 0x0012, 0x0064, b"SQ", 0, 0xFFFFFFFF)]
    for code, meaning in _DEIDENTIFIED:
        parts.append(struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF))
        coded = ((0x0100, code), (0x0102, "DCM"), (0x0104, meaning))
        kinds = ("SH", "SH", "LO")
        parts += [_element(8, n, kind, v) for (n, v), kind in zip(coded, kinds, strict=True)]
        parts.append(struct.pack("<HHI", 0xFFFE, 0xE00D, 0))
    parts.append(struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))
    return b"".join(parts)


VOCABULARY = b"".join(
    (
        _data_set(_X_RAY),
        _data_set(_MR),
        _HEAD.encode(),
        _data_set(_BEGINNING),
        _sequence(),
        _data_set(_END),
    )
)
