"""A shape model survives its arrays, and arrays that do not fit are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from deepstd.errors import BundleError
from deepstd.shape import ShapeModel


def test_a_model_survives_its_arrays(any_model: ShapeModel) -> None:
    meta = json.loads(json.dumps(any_model.metadata()))
    found = ShapeModel.from_tensors(any_model.to_tensors(), meta)
    assert found.metadata() == any_model.metadata()
    for name, array in any_model.to_tensors().items():
        assert np.array_equal(getattr(found, name), array)
        assert getattr(found, name).dtype == array.dtype


@pytest.mark.parametrize("name", ["weight1", "heads", "modes", "scale_index", "reach"])
def test_arrays_that_do_not_fit_are_refused(any_model: ShapeModel, name: str) -> None:
    tensors, meta = any_model.to_tensors(), any_model.metadata()
    for wrong in (None, tensors[name].astype(np.float32), tensors[name][:-1, ...] * 0):
        broken = {k: v for k, v in tensors.items() if k != name}
        if wrong is not None:
            broken[name] = wrong
        with pytest.raises(BundleError):
            ShapeModel.from_tensors(broken, meta)
