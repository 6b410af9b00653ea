#!/bin/sh
# nibabel 5.4.2: as_closest_canonical turns the slices round, and leaves the slice order in the header.
#
# Expected: a NIfTI header states in slice_code the order of acquisition by slice index, from slice_start
#   to slice_end (nifti1.h). as_closest_canonical returns "the image with orientation closest to canonical"
#   and adapts dim_info to the new axes, so the time of each piece of tissue should stay the same.
# Seen: slices stored from top to bottom are reversed, and slice_code still says ascending.
#   header.get_slice_times() then gives the first time to the slice that was acquired last: each slice is
#   wrong by up to 2.75 s of a repetition time of 3 s, so that slice timing correction does harm. Cropping
#   by img.slicer[:, :, 2:] keeps the header, too: the first remaining slice gets the time of slice 0, and
#   12 times are returned for 10 slices.
# A way round: read the slice times first and reverse them where the slice axis was flipped.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nibabel==5.4.2 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import nibabel
import numpy as np

SLICES, DURATION = 12, 0.25


def times_by_height(image):
    """Return the time of acquisition of each slice, by its z in mm."""
    heights = [round(float((image.affine @ [0, 0, k, 1])[2])) for k in range(image.shape[2])]
    times = [round(float(time), 3) for time in image.header.get_slice_times()]
    return dict(zip(heights, times)), len(times)


stored = nibabel.Nifti1Image(np.zeros((4, 4, SLICES, 5), np.int16), np.diag([3, 3, -4, 1]))
stored.header.set_xyzt_units("mm", "sec")
stored.header.set_zooms((3, 3, 4, SLICES * DURATION))
stored.header.set_dim_info(freq=0, phase=1, slice=2)
stored.header.set_slice_duration(DURATION)
stored.header["slice_start"], stored.header["slice_end"] = 0, SLICES - 1
stored.header["slice_code"] = 1  # NIFTI_SLICE_SEQ_INC
nibabel.save(stored, "bold.nii")
bold = nibabel.load("bold.nii")
nibabel.save(nibabel.as_closest_canonical(bold), "canonical.nii")
canonical = nibabel.load("canonical.nii")

before, _ = times_by_height(bold)
after, _ = times_by_height(canonical)
cropped, count = times_by_height(bold.slicer[:, :, 2:])
for name, image, times in (("stored", bold, before), ("canonical", canonical, after)):
    print(f"{name} {''.join(nibabel.aff2axcodes(image.affine))}, {image.header.get_value_label('slice_code')}:"
          f" top slice (z = 0 mm) at {times[0]} s, lowest (z = -44 mm) at {times[-44]} s")  # fmt: skip
error = max(abs(before[z] - after[z]) for z in before)
print(f"largest error of a slice time: {error} s")
print(f"cropped to 10 slices: {count} times; the slice at z = -8 mm moved from {before[-8]} to {cropped[-8]} s")
as_described = error == 2.75 and count == SLICES and (before[-8], cropped[-8]) == (0.5, 0.0)
sys.exit(0 if as_described else "this has changed")
PYTHON
