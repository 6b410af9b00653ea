"""Shape model of a bundle: deformation field from a scan to the template, in a few bytes.

    scan, affine ─ register ─▶ FieldCode ─ codec ─▶ bytes ─ codec ─▶ FieldCode
    FieldCode, base map ─ template_coordinates ─▶ coordinates ─ warp_template ─▶ prediction

Registration works in floats and only chooses integers. Everything after the FieldCode is exact.
Import `codec` by name: it needs the range coder, which training does not.
"""

from deepstd.shape.field import inside_template, template_coordinates, warp_template
from deepstd.shape.model import FieldCode, ShapeModel
from deepstd.shape.register import ShapeReport, register, register_all

__all__ = [
    "FieldCode",
    "ShapeModel",
    "ShapeReport",
    "inside_template",
    "register",
    "register_all",
    "template_coordinates",
    "warp_template",
]
