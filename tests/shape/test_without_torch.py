"""The shape stage of compressing and restoring needs no torch."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import sys
sys.modules["torch"] = None
import numpy as np
from deepstd import bundle
from deepstd.coding.tables import parametric_tables
from deepstd.geometry import base_map
from deepstd.shape import ShapeModel, register, template_coordinates, warp_template
from deepstd.shape.codec import decode_field, encode_field

loaded = bundle.load(bundle.find("chest-xray"))
model = ShapeModel.from_tensors(loaded.shape, loaded.manifest.shape)
scan = model.template[::2, 4::2].astype(np.float32)
code, report = register(scan, None, model)
tables = parametric_tables()
decoded = decode_field(encode_field(code, model, tables), model, tables)
placement = base_map(scan.shape, None, model.template.shape, model.affine)
warped = warp_template(model, template_coordinates(model, placement, decoded))
print(report.ncc_after, np.corrcoef(warped.ravel(), scan.ravel())[0, 1])
"""


def test_a_scan_is_registered_and_its_template_warped() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert min(map(float, done.stdout.split())) > 0.97
