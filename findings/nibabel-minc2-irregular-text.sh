#!/bin/sh
# nibabel 5.4.2: an irregular axis of a MINC 2 file is read as regular where its attribute is a text string.
#
# Expected: nibabel does not support axes with irregular spacing, and says so: minc2.py raises "Irregular
#   spacing not supported". HDF5 has strings of fixed and of variable length; both can hold the value
#   "irregular", and h5py writes Python's str as one of variable length.
# Seen: a string of fixed length raises the error. One of variable length, which h5py returns as str, is
#   compared with bytes, gives a warning "Invalid spacing declaration: irregular; assuming regular", and
#   the image has a regular grid. A string of variable length "regular__" gives the same warning.
# A way round: treat the warning as an error.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nibabel==5.4.2 h5py==3.16.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import h5py
import nibabel
import numpy as np

PLACES = np.array([0.0, 3.0, 10.0])  # of the slices, in mm


def written(name, spacing):
    with h5py.File(name, "w") as file:
        minc = file.create_group("minc-2.0")
        for axis, length, cosines in (("zspace", 3, (0, 0, 1)), ("yspace", 4, (0, 1, 0)), ("xspace", 5, (1, 0, 0))):
            slices = axis == "zspace"
            made = minc.create_dataset(f"dimensions/{axis}", data=PLACES if slices else np.int32(0))
            made.attrs.update(start=0.0, step=2.0, length=np.int32(length), direction_cosines=np.array(cosines, float))
            made.attrs["spacing"] = spacing if slices else np.bytes_("regular__")
        image = minc.create_dataset("image/0/image", data=np.zeros((3, 4, 5), np.int16))
        image.attrs.update(dimorder=np.bytes_("zspace,yspace,xspace"), valid_range=np.array([0.0, 1.0]))
        minc.create_dataset("image/0/image-min", data=0.0)
        minc.create_dataset("image/0/image-max", data=1.0)
    return name


print(f"nibabel {nibabel.__version__}")
try:
    nibabel.load(written("fixed.mnc", np.bytes_("irregular")))
    refused = False
except ValueError as error:
    refused = "Irregular spacing not supported" in str(error)
    print("string of fixed length:", error)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    image = nibabel.load(written("variable.mnc", "irregular"))
step = image.affine[2, 0]
said = [str(warning.message) for warning in told]
print(f"string of variable length: slices every {step} mm, expected an error; {said}")
same = refused and step == 2 and any("assuming regular" in words for words in said)
sys.exit(0 if same else "this has changed")
PYTHON
