"""The shape stage of compressing and restoring needs no torch."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import sys
sys.modules["torch"] = None
import numpy as np
from deepstd import bundle
import deepstd.codec.shape_stage
from deepstd.coding.tables import parametric_tables
from deepstd.shape import ShapeModel, register
from deepstd.shape.codec import decode_field, encode_field
from deepstd.shape.conditioning import condition_on

loaded = bundle.load(bundle.find("chest-xray"))
model = ShapeModel.from_tensors(loaded.shape, loaded.manifest.shape)
scan = model.template[::2, 4::2].astype(np.float32)
code, report = register(scan, None, model)
tables = parametric_tables()
decoded = decode_field(encode_field(code, model, tables), model, tables)
warped = condition_on(model, decoded, scan.shape, None).template
print(report.ncc_after, np.corrcoef(warped.ravel(), scan.ravel())[0, 1])
"""


def test_a_scan_is_registered_and_its_template_warped() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert min(map(float, done.stdout.split())) > 0.97
