"""Frame of registration on tensors.

Frame, device ─▶ TensorFrame: field coordinates ─▶ template voxels, canvas voxels
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepstd.shape.alignment import Frame


class TensorFrame:
    """Relation of field coordinates, template voxels and canvas voxels on a device.

    Args:
        frame: frame on arrays.
        device: device of all tensors.

    Attributes:
        frame: frame on arrays.
        centre, reach: (ndim,), centre and unit of field coordinates in template voxels.
        canvas_centre, canvas_reach: (ndim,), the same in canvas voxels.
    """

    def __init__(self, frame: Frame, device: torch.device | str) -> None:
        self.frame = frame
        self.centre, self.reach, self.canvas_centre, self.canvas_reach = (
            torch.from_numpy(values).to(device)
            for values in (frame.centre, frame.reach, frame.canvas_centre, frame.canvas_reach)
        )

    def to_template(self, q: Tensor) -> Tensor:
        """Convert field coordinates, (…, ndim), to template voxels."""
        return self.centre + self.reach * q

    def to_canvas(self, q: Tensor) -> Tensor:
        """Convert field coordinates, (…, ndim), to canvas voxels."""
        return self.canvas_centre + self.canvas_reach * q

    def nodes(self) -> Tensor:
        """Return the field coordinates of all canvas voxels, (N, ndim)."""
        return torch.from_numpy(self.frame.nodes()).to(self.reach.device)
