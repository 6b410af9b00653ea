#!/bin/sh
# dcm2niix 1.0.20260724: the sign of Spacing Between Slices in NM reconstructions is ignored.
#
# Expected: in an NM image of type RECON TOMO the geometry is in the Detector Information Sequence, and
#   Spacing Between Slices (0018,0088) may be negative: its sign says whether the slices follow the normal
#   of the image plane or go against it (DICOM PS3.3 C.8.4.15). GDCM (SimpleITK 2.5.6) reads it so.
# Seen: files that differ in this sign alone become NIfTI files of the same affine and the same voxels, so
#   that a reconstruction of negative spacing is upside down: its last slice lies 101.2 mm above the first
#   instead of below.
# A way round: read such files with GDCM, or compare the sign of (0018,0088) before use.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    dcm2niix==1.0.20260724 pydicom==3.0.2 nibabel==5.4.2 SimpleITK==2.5.6 numpy==2.4.6
cd "$folder"
PATH="$folder/venv/bin:$PATH" "$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys

import nibabel
import numpy as np
import pydicom
import SimpleITK
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, NuclearMedicineImageStorage, generate_uid

SLICES, ROWS, COLUMNS, SPACING = 24, 32, 32, 4.4
pixels = np.random.default_rng(0).integers(0, 4000, (SLICES, ROWS, COLUMNS)).astype("<u2")


def write(name, spacing):
    scan = pydicom.Dataset()
    scan.file_meta = FileMetaDataset()
    scan.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    scan.file_meta.MediaStorageSOPClassUID = scan.SOPClassUID = NuclearMedicineImageStorage
    scan.file_meta.MediaStorageSOPInstanceUID = scan.SOPInstanceUID = generate_uid()
    scan.StudyInstanceUID, scan.SeriesInstanceUID = generate_uid(), generate_uid()
    scan.Modality, scan.Manufacturer, scan.SeriesNumber, scan.InstanceNumber = "NM", "Test", 1, 1
    scan.PatientName, scan.PatientID, scan.StudyDate, scan.StudyTime = "A^B", "1", "20260101", "120000"
    scan.ImageType = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
    scan.Rows, scan.Columns, scan.NumberOfFrames, scan.NumberOfSlices = ROWS, COLUMNS, SLICES, SLICES
    scan.SamplesPerPixel, scan.PhotometricInterpretation = 1, "MONOCHROME2"
    scan.BitsAllocated, scan.BitsStored, scan.HighBit, scan.PixelRepresentation = 16, 16, 15, 0
    scan.PixelSpacing, scan.SliceThickness, scan.SpacingBetweenSlices = [SPACING] * 2, SPACING, spacing
    scan.FrameIncrementPointer, scan.SliceVector = 0x00540080, list(range(1, SLICES + 1))
    detector = pydicom.Dataset()
    detector.ImagePositionPatient = [-70, -80, 120]
    detector.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    scan.DetectorInformationSequence = [detector]
    scan.PixelData = pixels.tobytes()
    scan.save_as(f"{name}.dcm", enforce_file_format=True)


found = {}
for name, spacing in (("up", SPACING), ("down", -SPACING)):
    write(name, spacing)
    last = SimpleITK.ReadImage(f"{name}.dcm").TransformIndexToPhysicalPoint((0, 0, SLICES - 1))
    subprocess.run(["dcm2niix", "-b", "n", "-z", "n", "-f", name, "-s", "y", f"{name}.dcm"],
                   check=True, capture_output=True)  # fmt: skip
    image = nibabel.load(f"{name}.nii")
    found[name] = image.affine.round(3), np.asarray(image.dataobj), round(last[2], 1)
    top = image.affine @ [0, 0, SLICES - 1, 1]
    print(f"Spacing Between Slices {spacing}: last slice at z = {last[2]:.1f} mm by GDCM, "
          f"{top[2]:.1f} mm by dcm2niix")
same = all(np.array_equal(found["up"][n], found["down"][n]) for n in (0, 1))
apart = (found["up"][2], found["down"][2]) == (221.2, 18.8)
sys.exit(0 if same and apart else "this has changed")
PYTHON
