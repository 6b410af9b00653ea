#!/bin/sh
# imagecodecs 2026.3.6: lossless JPEG 2000 of uint32 images turns a background of 0 into 1.
#
# Expected: jpeg2k_encode(image, level=0, reversible=True) codes with the reversible 5/3 transform, which
#   returns every sample (ISO/IEC 15444-1, annexes F and G). Its docstring supposes that uint32 images are
#   safe up to 26 bits, and issue 153 of its repository reports that 12-bit values in uint32 survive.
# Seen: an image of zeros comes back as ones. The file declares 26 bits, so the level shift makes 0 the
#   value -2^25, whose fixed-point form in OpenJPEG no longer fits in 32 bits with its sign. In a label map
#   of 0 and 7 a third label of 1 appears. In a smooth image of integers up to 10^6, wavelet coefficients
#   go further below: 23 % of the pixels are wrong, most of them by millions. No error is raised.
#   pylibjpeg, which has its own copy of OpenJPEG, reads the same wrong values. TIFF files of tifffile are
#   affected, too. bitspersample=16 changes nothing. HTJ2K of the same package is exact.
# A way round: convert to uint16 or int32, or pass bitspersample=24 where the values allow it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    imagecodecs==2026.3.6 tifffile==2026.3.3 pylibjpeg-openjpeg==2.6.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import imagecodecs
import numpy as np
import openjpeg
import tifffile

LOSSLESS = {"level": 0, "reversible": True}
y, x = np.ogrid[-128:128, -128:128]
images = {
    "zeros": np.zeros((256, 256), np.uint32),
    "labels": np.where(x**2 + y**2 < 60**2, 7, 0).astype(np.uint32),
    "smooth": (1e6 * np.exp(-(x**2 + y**2) / 3000)).astype(np.uint32),
}


def coded(image, **options):
    return imagecodecs.jpeg2k_encode(image, **LOSSLESS, **options)


def wrong(image, restored):
    return round(float(np.mean(image != restored)), 3)


print("imagecodecs", imagecodecs.__version__, "with", imagecodecs.jpeg2k_version())
shares, others_agree = {}, True
for name, image in images.items():
    stream = coded(image)
    restored = imagecodecs.jpeg2k_decode(stream)
    others_agree &= np.array_equal(restored, openjpeg.decode(io.BytesIO(stream)))
    tifffile.imwrite("image.tif", image, compression="jpeg2000", compressionargs=LOSSLESS)
    others_agree &= np.array_equal(restored, tifffile.imread("image.tif"))
    shares[name] = wrong(image, restored)
    print(f"{name}: {np.unique(image)[:3]} becomes {np.unique(restored)[:3]}; "
          f"{100 * shares[name]:.1f} % of the pixels differ, by at most "
          f"{np.abs(restored.astype(float) - image).max():.0f}")  # fmt: skip
print("pylibjpeg-openjpeg and TIFF give the same values:", others_agree)

labels = images["labels"]
exact = {
    "int32": wrong(labels, imagecodecs.jpeg2k_decode(coded(labels.astype(np.int32)))),
    "uint16": wrong(labels, imagecodecs.jpeg2k_decode(coded(labels.astype(np.uint16)))),
    "24 bits": wrong(labels, imagecodecs.jpeg2k_decode(coded(labels, bitspersample=24))),
    "HTJ2K": wrong(labels, imagecodecs.htj2k_decode(imagecodecs.htj2k_encode(labels))),
}
still = wrong(labels, imagecodecs.jpeg2k_decode(coded(labels, bitspersample=16)))
print(f"share of wrong labels with bitspersample=16: {still}; otherwise: {exact}")
damaged = shares["zeros"] == 1 and shares["labels"] > 0.3 and shares["smooth"] > 0.2 and still > 0.3
sys.exit(0 if damaged and others_agree and not any(exact.values()) else "this has changed")
PYTHON
