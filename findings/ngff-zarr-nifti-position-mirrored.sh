#!/bin/sh
# ngff-zarr 0.50.0: a NIfTI file read with nibabel keeps its RAS position, while images are written in LPS.
#
# Expected: nibabel_image_to_ngff_image is documented to preserve the spatial metadata, and its command
#   line uses it for every .nii file. NIfTI has x to the right and y to the front (nifti1.h, method 3); ITK has
#   both the other way. ngff_image_to_itk_image builds the direction in LPS from the RFC 4 labels, so the
#   translation must be in LPS, too, as itk_image_to_ngff_image of the same file gives it.
# Seen: both converters give the same labels and scales for one file, and translations of opposite sign in
#   x and y. Back in ITK, the image read through nibabel lies 180 mm to the side and 252 mm in front of the
#   scan, with correct voxels, spacing and direction. A segmentation made on it does not meet the scan.
# A way round: read the NIfTI file with ITK and convert that, or negate the translations of x and y.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    ngff-zarr==0.50.0 nibabel==5.4.2 itk-io==5.4.7 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import itk
import nibabel
import ngff_zarr
import numpy as np

voxels = np.random.default_rng(0).integers(0, 900, (20, 24, 28)).astype(np.int16)
agree, shifts = [], []
for name, affine in (
    ("LAS", [[-2, 0, 0, 90], [0, 3, 0, -126], [0, 0, 4, -72], [0, 0, 0, 1]]),
    ("LPS", [[-2, 0, 0, 90], [0, -3, 0, 126], [0, 0, 4, -72], [0, 0, 0, 1]]),
):
    scan = nibabel.Nifti1Image(voxels, np.array(affine, float))
    scan.set_sform(scan.affine, code=1)
    scan.set_qform(scan.affine, code=1)
    scan.to_filename(f"{name}.nii")
    image = itk.imread(f"{name}.nii")
    by_nibabel = ngff_zarr.nibabel_image_to_ngff_image(nibabel.load(f"{name}.nii"))
    by_itk = ngff_zarr.itk_image_to_ngff_image(image)
    for reader, converted in (("nibabel", by_nibabel), ("itk", by_itk)):
        labels = {axis: converted.axes_orientations[axis].value for axis in "xyz"}
        labels = {axis: getattr(label, "value", label) for axis, label in labels.items()}
        print(f"{name} by {reader}: translation {[converted.translation[axis] for axis in 'xyz']}, {labels}")
    back = ngff_zarr.ngff_image_to_itk_image(by_nibabel, wasm=False)
    agree.append(
        np.array_equal(itk.array_from_image(back), itk.array_from_image(image))
        and np.array_equal(np.asarray(back.GetDirection()), np.asarray(image.GetDirection()))
        and np.allclose(back.GetSpacing(), image.GetSpacing())
        and np.allclose(
            ngff_zarr.ngff_image_to_itk_image(by_itk, wasm=False).GetOrigin(), image.GetOrigin()
        )
    )
    shifts.append((np.array(back.GetOrigin()) - np.array(image.GetOrigin())).tolist())
    print(f"{name}: voxels, spacing, direction right: {agree[-1]}; shifted by {shifts[-1]} mm in LPS")
expected = [[180, -252, 0], [180, 252, 0]]
sys.exit(0 if all(agree) and np.allclose(shifts, expected) else "this has changed")
PYTHON
