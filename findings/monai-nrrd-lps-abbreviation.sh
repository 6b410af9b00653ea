#!/bin/sh
# MONAI 1.6.1: a NRRD file whose space is written "LPS" is saved as NIfTI with left and right exchanged.
#
# Expected: the NRRD specification (teem.sourceforge.net/nrrd/format.html, "space") lets each space be
#   written in full or abbreviated: left-posterior-superior and LPS are one space. NrrdReader converts it
#   to RAS by default (affine_lps_to_ras=True, "to be consistent with NibabelReader").
# Seen: pynrrd returns the word of the file, and NrrdReader compares it with the long name alone. Of two
#   files that differ in this word only, "LPS" keeps its affine. LoadImage chooses this reader for .nrrd by
#   itself, and SaveImage writes the affine to NIfTI as it is: the scan turns by 180 degrees about the
#   z axis, so the patient's left becomes right and front becomes back. SimpleITK reads both files alike.
#   The other way round, a file in "right-anterior-superior" loads well, but Orientation refuses it as no
#   valid space, while "RAS" is accepted.
# A way round: LoadImage(reader="ITKReader"), which reads all of these.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    monai==1.6.1 torch==2.14.1 pynrrd==1.1.3 nibabel==5.4.2 SimpleITK==2.5.7 itk-io==5.4.7 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import nrrd
import numpy as np
import SimpleITK
from monai.transforms import LoadImage, Orientation, SaveImage

voxels = np.arange(6 * 7 * 8, dtype=np.int16).reshape(6, 7, 8)
NAMES = "left-posterior-superior", "LPS", "right-anterior-superior", "RAS"


def first_voxel(path):
    """Return the position of the first voxel, and the direction of the first axis, in LPS as SimpleITK has it."""
    image = SimpleITK.ReadImage(path)
    return [round(value) for value in image.GetOrigin()], round(image.GetDirection()[0])


def saved(image, name):
    SaveImage("out", name, ".nii", separate_folder=False, print_log=False, resample=False)(image)
    return f"out/{name}_{name}.nii"


kept, refused = {}, []
for name in NAMES:
    header = {"space": name, "space directions": np.diag([2.0, 3.0, 4.0]),
              "space origin": [10.0, 20.0, 30.0], "kinds": ["domain"] * 3}  # fmt: skip
    nrrd.write(f"{name}.nrrd", voxels, header)
    original = first_voxel(f"{name}.nrrd")
    image = LoadImage(ensure_channel_first=True)(f"{name}.nrrd")
    by_monai = first_voxel(saved(image, name))
    by_itk = first_voxel(saved(LoadImage(reader="ITKReader", ensure_channel_first=True)(f"{name}.nrrd"), name))
    kept[name] = original == by_monai
    print(f"{name}: first voxel at {original[0]}, after MONAI at {by_monai[0]} (LPS, mm); "
          f"first axis runs {original[1]}, after MONAI {by_monai[1]}; with ITKReader: {by_itk}")  # fmt: skip
    assert by_itk == original
    try:
        Orientation("RAS")(image)
    except ValueError as error:
        refused.append(name)
        print(f"{name}: Orientation says {error}")
as_described = [name for name in NAMES if not kept[name]] == ["LPS"]
sys.exit(0 if as_described and refused == ["right-anterior-superior"] else "this has changed")
PYTHON
