"""Windows of grey values that the page offers.

range, unit ─ looks like Hounsfield units? ─▶ windows of CT, automatic, full range
"""

from __future__ import annotations

from dataclasses import dataclass

HOUNSFIELD = "HU"
# Air is at -1000 HU; no other modality has values as low as this without being far lower.
_AIR = (-5000.0, -500.0)


@dataclass(frozen=True)
class Window:
    """Grey values shown as black and white.

    Attributes:
        name: name for users.
        low: value shown as black, and all below.
        high: value shown as white, and all above.
    """

    name: str
    low: float
    high: float

    @staticmethod
    def of_level(name: str, level: float, width: float) -> Window:
        """Return the window around a level, as radiologists name it."""
        return Window(name, level - width / 2, level + width / 2)


_CT = (
    Window.of_level("Soft tissue", 40, 400),
    Window.of_level("Lung", -600, 1500),
    Window.of_level("Bone", 400, 1800),
    Window.of_level("Brain", 40, 80),
)


def windows_of(
    whole: tuple[float, float], usual: tuple[float, float], unit: str | None
) -> list[Window]:
    """Return the windows for a scan, the first to begin with.

    Windows of CT are offered for Hounsfield units, and for scans of unknown unit whose darkest
    value is that of air.

    Args:
        whole: smallest and largest real-world value.
        usual: the same without 1 % of the voxels at either end.
        unit: unit of the values; None where it is unknown.
    """
    low, high = usual if usual[0] < usual[1] else whole
    automatic = Window("Automatic", low, high if high > low else low + 1)
    low, high = whole
    full = Window("Full range", low, high if high > low else low + 1)
    is_ct = unit == HOUNSFIELD or (unit is None and _AIR[0] <= whole[0] <= _AIR[1])
    return [*(_CT if is_ct else ()), automatic, full]
