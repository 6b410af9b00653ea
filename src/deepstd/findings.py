"""Findings of the guard: how far a scan is from those that its bundle knows, and where.

measures beyond their limits ─▶ Finding ┬▶ Familiarity of a scan ─▶ notes, reports
places ─▶ Region ───────────────────────┘
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """A region of a scan.

    Attributes:
        voxel: indices of its central voxel; the fourth is the frame of a scan with frames.
        size: voxels of its bounding box along each axis of a frame.
        world_mm: centre in world coordinates, RAS+ in millimetres; None without geometry.
        excess: ratio to what is usual there; to the rest of the scan for an error.
    """

    voxel: tuple[int, ...]
    size: tuple[int, ...]
    world_mm: tuple[float, float, float] | None
    excess: float

    @property
    def place(self) -> str:
        """The place in words."""
        text = (
            f"voxel ({', '.join(map(str, self.voxel))}), {' x '.join(map(str, self.size))} voxels"
        )
        if self.world_mm is None:
            return text
        return f"{text}, ({', '.join(f'{c:.1f}' for c in self.world_mm)}) mm"


@dataclass(frozen=True)
class Finding:
    """A measure that lies beyond those of the validation scans.

    Attributes:
        measure: name of the measure.
        value: its value for the scan.
        limit: the value that 0.2 % of scans as in the validation pass.
    """

    measure: str
    value: float
    limit: float

    @property
    def text(self) -> str:
        """The finding in words, short enough for a small file."""
        side = "below" if self.value > self.limit else "above"
        return f"{self.measure} {self.value:.3g} (usual {side} {self.limit:.3g})"


@dataclass(frozen=True)
class Protected:
    """Regions that got the fidelity of the rest.

    Attributes:
        share: share of the scan.
        ratio_before: root mean square error of the worst of them to that of the rest, without
            protection.
        ratio: the same with protection.
    """

    share: float
    ratio_before: float
    ratio: float


@dataclass(frozen=True)
class Familiarity:
    """Fit of a scan to the bundle that compressed it.

    Attributes:
        judged: False where the bundle has no statistics of its validation scans.
        findings: measures beyond their limits; none for a scan as the bundle knows them.
        unexplained: region that the template explains worst compared with the validation scans;
            None without a template.
        largest_error: region of the largest error of the restored scan; None for an exact one.
        protected: regions that got the fidelity of the rest; None where nothing was done.
    """

    judged: bool
    findings: tuple[Finding, ...] = ()
    unexplained: Region | None = None
    largest_error: Region | None = None
    protected: Protected | None = None

    @property
    def unfamiliar(self) -> bool:
        """True where a measure lies beyond its limit."""
        return bool(self.findings)
