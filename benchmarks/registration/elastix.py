"""Affine and affine + B-spline registration by elastix (pip install itk-elastix).

    scans ─ ITK images in LPS ─▶ elastix: affine ─▶ affine matrix
                                    └─ B-spline ─▶ dense field, control points

Parameters are elastix's own defaults (adaptive stochastic gradient descent, 2048 fresh samples a
step) but for the metric, correlation alone, and the pyramid, which leaves thin axes alone. Its
bending penalty on the B-spline takes six times as long as all the rest.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import itk
import numpy as np

from benchmarks.registration.pairs import Scan
from benchmarks.registration.warp import (
    AFFINE_BYTES,
    Warp,
    affine_warp,
    grid,
    packed,
    transformed,
)

logger = logging.getLogger("registration")

_THIN = 20


@dataclass(frozen=True)
class Affine:
    """Twelve degrees of freedom."""

    resolutions: int = 3
    steps: int = 250
    name: str = "affine (elastix)"

    def matrix(self, moving: Scan, fixed: Scan) -> np.ndarray:
        """(4, 4) from fixed to moving voxels."""
        found = _run(moving, fixed, [self.parameters(fixed)])
        return _affine_matrix(found, 0, moving, fixed)

    def register(self, moving: Scan, fixed: Scan) -> Warp:
        """The affine map of the whole fixed grid."""
        return affine_warp(self.matrix(moving, fixed), fixed.shape)

    def parameters(self, fixed: Scan) -> dict[str, list[str]]:
        """Elastix's parameter map."""
        return _parameters("affine", self.resolutions, self.steps, fixed)


@dataclass(frozen=True)
class BSpline:
    """Affine, then a cubic B-spline with control points every ``spacing`` mm."""

    affine: Affine = field(default_factory=Affine)
    spacing: float = 8.0
    resolutions: int = 3
    steps: int = 250
    name: str = "affine + B-spline (elastix)"

    def register(self, moving: Scan, fixed: Scan) -> Warp:
        """Both stages; the first alone where elastix gives up on the second."""
        spline = _parameters("bspline", self.resolutions, self.steps, fixed)
        spline["FinalGridSpacingInPhysicalUnits"] = [str(self.spacing)]
        try:
            found = _run(moving, fixed, [self.affine.parameters(fixed), spline])
        except RuntimeError:
            logger.warning("%s: elastix gives up on the B-spline", fixed.name)
            return self.affine.register(moving, fixed)
        field_ = np.asarray(itk.transformix_deformation_field(_image(moving), found))
        world = transformed(fixed.affine, grid(fixed.shape))
        displacement = field_.transpose(2, 1, 0, 3) * np.array([-1.0, -1.0, 1.0])
        coordinates = transformed(np.linalg.inv(moving.affine), world + displacement)
        last = found.GetParameterMap(found.GetNumberOfParameterMaps() - 1)
        shape = [int(n) for n in last["GridSize"]]
        control = np.array(last["TransformParameters"], dtype=float)
        control = control.reshape(3, *shape[::-1]).transpose(3, 2, 1, 0) / np.array(fixed.spacing)
        return Warp(coordinates.astype(np.float32), AFFINE_BYTES + packed(control))


def _parameters(kind: str, resolutions: int, steps: int, fixed: Scan) -> dict[str, list[str]]:
    defaults = itk.ParameterObject.New().GetDefaultParameterMap(kind, resolutions)
    parameters = {name: list(values) for name, values in defaults.items()}
    factors = [
        str(1 if n < _THIN else 2**level)
        for level in reversed(range(resolutions))
        for n in fixed.shape
    ]
    parameters |= {
        "Registration": ["MultiResolutionRegistration"],
        "Metric": ["AdvancedNormalizedCorrelation"],
        "MaximumNumberOfIterations": [str(steps)],
        "ImagePyramidSchedule": factors,
        "AutomaticTransformInitialization": ["true"],
        "AutomaticTransformInitializationMethod": ["GeometricalCenter"],
        "WriteResultImage": ["false"],
    }
    return parameters


def _run(moving: Scan, fixed: Scan, stages: list[dict[str, list[str]]]) -> itk.ParameterObject:
    parameters = itk.ParameterObject.New()
    for stage in stages:
        parameters.AddParameterMap(stage)
    _, found = itk.elastix_registration_method(
        _image(fixed), _image(moving), parameter_object=parameters, log_to_console=False
    )
    return found


def _affine_matrix(found: itk.ParameterObject, index: int, moving: Scan, fixed: Scan) -> np.ndarray:
    stage = found.GetParameterMap(index)
    numbers = np.array(stage["TransformParameters"], dtype=float)
    centre = np.array(stage["CenterOfRotationPoint"], dtype=float)
    world = np.eye(4)
    world[:3, :3] = numbers[:9].reshape(3, 3)
    world[:3, 3] = numbers[9:] + centre - world[:3, :3] @ centre
    return np.linalg.inv(moving.lps) @ world @ fixed.lps


def _image(scan: Scan) -> itk.Image:
    image = itk.image_from_array(np.ascontiguousarray(scan.voxels.T))
    affine = scan.lps
    image.SetSpacing(scan.spacing)
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection(itk.matrix_from_array(affine[:3, :3] / np.array(scan.spacing)))
    return image
