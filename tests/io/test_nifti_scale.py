"""Slope and intercept of NIfTI headers, as nibabel reads them."""

from __future__ import annotations

import math

import nibabel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.spatialimages import HeaderDataError

from deepstd.errors import InputError
from deepstd.io.nifti_scale import scale_of
from deepstd.volume import SourceHeader

numbers = st.one_of(st.sampled_from([0.0, -0.0, 1.0]), st.floats(width=32))


@given(numbers, numbers, st.sampled_from("<>"), st.booleans())
def test_equal_to_nibabel(slope: float, intercept: float, order: str, second: bool) -> None:
    header = (nibabel.Nifti2Header if second else nibabel.Nifti1Header)(endianness=order)
    header["scl_slope"], header["scl_inter"] = slope, intercept
    source = SourceHeader("nifti2" if second else "nifti1", header.binaryblock + bytes(4))
    found = scale_of(source)
    try:
        expected = header.get_slope_inter()
    except HeaderDataError:  # nifti_clib takes such an intercept for 0
        assert not math.isfinite(intercept)
        assert found == (slope, 0.0)
        return
    assert found == ((1.0, 0.0) if expected[0] is None else expected)


@pytest.mark.parametrize("kind", ["nifti1", "nifti2"])
def test_a_header_that_is_cut_short(kind: str) -> None:
    with pytest.raises(InputError, match=f"not a whole {kind} header"):
        scale_of(SourceHeader(kind, bytes(340)))
