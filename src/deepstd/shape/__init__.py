"""Shape: how a scan's anatomy lies on its bundle's template.

    scan, affine ─ register ─▶ FieldCode ─ codec ─▶ bytes ─ codec ─▶ FieldCode
    FieldCode, base map ─ template_coordinates ─▶ coordinates ─ warp_template ─▶ prediction

Registration works in floats and only chooses integers; everything after the FieldCode is exact.
`codec` is imported by name: it needs the range coder, which training does without.
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
