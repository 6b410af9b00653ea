"""README.deepstd.md: what downloaders of a data set need to know.

entries, sizes ─ readme ─▶ Markdown: one command that restores all, checks, figures, bundles
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from deepstd import __version__
from deepstd import bundle as bundles
from deepstd.batch.dataset.names import REPORT, SUMS, TABLE
from deepstd.batch.dataset.table import Entry
from deepstd.batch.report import figure, number
from deepstd.container import NO_BUNDLE

# Extras of this package by the formats that need them.
_EXTRAS = {"dicom": "dicom", "nrrd": "itk", "metaimage": "itk"}

_TEXT = """# A data set compressed with DeepSTD

{scans} medical scans are stored as .dstd files: {files} instead of {sources}.
{sidecars}All of it is restored by one command, run in this folder:

```sh
pip install {package} && deepstd restore . ../restored
```

The restored folder has the original names, formats and folders. The command goes on where it was
interrupted, if it is given again.

## Check the download

```sh
sha256sum -c {sums}      # every file is the one that was published
deepstd verify .             # the same, and every compressed scan is whole
```

## What is lost

{quality}
{table} has a line for each scan: original name, sizes, errors, and the SHA-256 of the voxels where
they are exact. {report} shows the scans, worst first.

{hash_note}For research. Not a medical device: do not diagnose from restored scans.

## What is needed

Python 3.11 or newer, and DeepSTD {version} or newer. {bundle_note}
"""
_HASH_NOTE = """The SHA-256 of voxels is over the stored values: little-endian, the first axis
fastest, as a NIfTI file has them. In Python:
`hashlib.sha256(nibabel.load(file).dataobj.get_unscaled().tobytes("F")).hexdigest()`.

"""


def readme(entries: Sequence[Entry], sidecars: int) -> str:
    """Return the text of the README.

    Args:
        entries: the compressed scans.
        sidecars: number of other files that were copied.
    """
    extras = sorted({_EXTRAS[e.row["format"]] for e in entries if e.row.get("format") in _EXTRAS})
    beside = f"{sidecars} other files are kept beside them, as they were.\n"
    exact = sum(entry.exact for entry in entries)
    hashed = any(entry.row.get("voxels_sha256") for entry in entries)
    return _TEXT.format(
        scans=len(entries),
        files=size_in_words(sum(number(entry.row, "file_bytes") for entry in entries)),
        sources=size_in_words(sum(number(entry.row, "source_bytes") for entry in entries)),
        sidecars=beside if sidecars else "",
        package=f'"deepstd[{",".join(extras)}]"' if extras else "deepstd",
        sums=SUMS,
        quality=_quality(entries, exact),
        table=TABLE,
        report=REPORT,
        hash_note=_HASH_NOTE if hashed else "",
        version=__version__,
        bundle_note=_bundles(entries),
    )


def size_in_words(nbytes: int) -> str:
    """Return bytes in a unit of three digits or so, such as "1.25 GB"."""
    value, unit = float(nbytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{nbytes} bytes" if unit == "bytes" else f"{value:.3g} {unit}"


def _quality(entries: Sequence[Entry], exact: int) -> str:
    lossy = [entry for entry in entries if not entry.exact]
    if not lossy:
        return "Nothing: every voxel of every scan comes back bit for bit.\n"
    text = f"{len(lossy)} scans are close to their originals, and not equal to them"
    text += f"; {exact} are exact.\n" if exact else ".\n"
    for key, name, ending in (("psnr", "PSNR", " dB"), ("ssim", "SSIM", "")):
        known = sorted(v for e in lossy if (v := figure(e.row, key)) is not None)
        if known:
            middle, least = known[len(known) // 2], known[0]
            text += (
                f"Their {name} is {middle:.4g}{ending} in the middle, {least:.4g} at the least.\n"
            )
    return text


def _bundles(entries: Sequence[Entry]) -> str:
    """Return a sentence on the model bundles that are not part of the package."""
    used = {str(entry.row.get("bundle", "")) for entry in entries}
    names = {name.rpartition(" ")[0] for name in used} - {"", NO_BUNDLE.name}
    own = sorted(name for name in names if not (bundles.folders()[0] / name).is_dir())
    if not own:
        return "Nothing else is needed."
    shown = ", ".join(f"`{re.sub(r'[^A-Za-z0-9._-]', '?', name)}`" for name in own)
    return (
        f"The model bundle {shown} is needed, too; ask whoever published this data set, and give\n"
        "its folder with `deepstd restore . ../restored -m FOLDER`."
    )
