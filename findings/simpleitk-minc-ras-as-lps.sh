#!/bin/sh
# SimpleITK 2.5.7: world coordinates of a MINC file are read as LPS, so the image lies elsewhere.
#
# Expected: MINC has x to the right, y to the front and z to the head (MINC 2.0 File Format Reference),
#   which is RAS. Images in SimpleITK are in LPS, so x and y change their sign, as they do when SimpleITK
#   reads NIfTI. The same voxel must lie at the same place in both.
# Seen: origin and direction are those of the MINC file without a change of sign. Beside the NIfTI file
#   of the same scan, and beside nibabel, the image is turned by 180 degrees about the z axis of the world:
#   left is right and front is back. Voxels and spacing are right.
# A way round: negate x and y of the origin, and the first two rows of the direction, after reading.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    SimpleITK==2.5.7 nibabel==5.4.2 h5py==3.16.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import h5py
import nibabel
import numpy as np
import SimpleITK

voxels = np.random.default_rng(0).integers(0, 900, (3, 4, 5)).astype(np.int16)
AXES = (("zspace", -72.0, 4.0, (0, 0, 1)), ("yspace", -126.0, 3.0, (0, 1, 0)), ("xspace", -90.0, 2.0, (1, 0, 0)))
with h5py.File("scan.mnc", "w") as file:
    minc = file.create_group("minc-2.0")
    for (name, start, step, cosines), length in zip(AXES, voxels.shape):
        axis = minc.create_dataset(f"dimensions/{name}", data=np.int32(0))
        axis.attrs.update(start=start, step=step, length=np.int32(length), direction_cosines=np.array(cosines, float))
        axis.attrs.update(spacing=np.bytes_("regular__"), units=np.bytes_("mm"))
    image = minc.create_dataset("image/0/image", data=voxels)
    image.attrs.update(valid_range=np.array([0.0, 899.0]), signtype=np.bytes_("signed__"))
    image.attrs.update(dimorder=np.bytes_("zspace,yspace,xspace"), complete=np.bytes_("true_"))
    minc.create_dataset("image/0/image-min", data=0.0)
    minc.create_dataset("image/0/image-max", data=899.0)

by_nibabel = nibabel.load("scan.mnc")
nibabel.save(nibabel.Nifti1Image(np.asarray(by_nibabel.dataobj), by_nibabel.affine), "scan.nii")
minc, nifti = SimpleITK.ReadImage("scan.mnc"), SimpleITK.ReadImage("scan.nii")
stored = SimpleITK.GetArrayFromImage(minc)
# Voxel (x, y, z) of the MINC file is (z, y, x) of the NIfTI file, which has MINC's order of axes.
places = [
    (image.TransformIndexToPhysicalPoint(index), image.GetPixel(index))
    for image, index in ((minc, (1, 2, 0)), (nifti, (0, 2, 1)))
]
ras = (by_nibabel.affine @ [0, 2, 1, 1])[:3]
print(f"SimpleITK {SimpleITK.Version_VersionString()}, nibabel {nibabel.__version__}")
print(f"one voxel, in LPS: MINC {places[0]}, NIfTI {places[1]}; by nibabel, in RAS: {ras}")
same = (
    np.array_equal(stored, voxels)
    and places[0][1] == places[1][1]
    and np.allclose(places[1][0], ras * [-1, -1, 1])
    and np.allclose(places[0][0], ras)
)
sys.exit(0 if same else "this has changed")
PYTHON
