"""``doctor``: check of the installation, and the facts that a bug report needs.

versions · devices · extras · bundles ─ hashes, round trip of a small scan ─▶ report, exit code
"""

from __future__ import annotations

import os
import time
from typing import Any

import typer

import deepstd
from deepstd.cli import console, model, options
from deepstd.extras import has_torch
from deepstd.threads import thread_count

_CORE = (
    "numpy",
    "nibabel",
    "constriction",
    "safetensors",
    "pydantic",
    "typer",
    "rich",
    "platformdirs",
    "pillow",
    "tifffile",
)
_EXTRAS = {
    "dicom": (
        "pydicom",
        "pylibjpeg-openjpeg",
        "pyjpegls",
        "python-gdcm",
        "dicom-anonymizer",
    ),
    "itk": ("SimpleITK",),
    "hdf5": ("h5py",),
    "remote": ("fsspec", "aiohttp"),
    "network": ("pynetdicom", "dicomweb-client", "pydicom"),
    "train": ("torch", "scipy"),
    "gpu": ("torch",),
    "neural": ("torch",),
    "protect": ("scipy",),
    "evaluate": ("scipy", "scikit-image", "monai", "matplotlib", "jinja2"),
    "baselines": ("imagecodecs", "av"),
    "ray": ("ray", "grpcio"),
    "view": ("anywidget",),
    "demo": ("nilearn", "matplotlib", "scikit-image"),
    "zarr": ("zarr",),
    "loaders": ("torch", "monai"),
    "nnunet": ("nnunetv2",),
}
_TEST_LENGTH = 24  # voxels along each axis
_TEST_BPV = 4.0


def doctor(as_json: options.Json = False) -> None:
    """Check the installation.

    Show versions, devices and bundles, and test every bundle on a small scan. Exit code 1 when
    something does not work.
    """
    with console.Progress("looking at the installation") as progress:
        report = examine(progress)
    if as_json:
        console.result_json(report)
    else:
        console.result(_in_words(report))
    if not report["ok"]:
        raise typer.Exit(1)


def examine(progress: console.Progress) -> dict[str, Any]:
    """Check the installation; return the report as plain values."""
    import platform  # not at the top: every command imports this module

    from deepstd import bundle as bundles
    from deepstd.bundle.store import folders
    from deepstd.engine.library import describe

    found = []
    for folder in bundles.available():
        entry = model.summary(folder)
        progress(f"trying the bundle {entry['name']}")
        if entry["ok"]:
            entry = {**entry, **_try_out(entry)}
        found.append(entry)
    return {
        "deepstd": deepstd.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: _version_of(name) for name in _CORE},
        "extras": {
            extra: {name: _version_of(name) for name in names} for extra, names in _EXTRAS.items()
        },
        "devices": _devices(),
        "engine": describe(),
        "bundle_folders": [str(folder) for folder in folders()],
        "bundles": found,
        "ok": bool(found) and all(entry["ok"] for entry in found),
    }


def _version_of(name: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _devices() -> dict[str, Any]:
    cuda: list[str] = []
    if has_torch():
        import torch

        cuda = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    return {"cpus": os.cpu_count(), "threads": thread_count(), "cuda": cuda}


def _try_out(entry: dict[str, Any]) -> dict[str, Any]:
    """Compress and restore a small scan for every number of axes that a bundle supports."""
    import numpy as np

    from deepstd.codec.codec import Codec
    from deepstd.volume import Volume

    began = time.monotonic()
    try:
        codec = Codec.load(entry["folder"])
        for ndim in entry["axes"]:
            axes = np.meshgrid(*[np.linspace(-1, 1, _TEST_LENGTH)] * ndim, indexing="ij")
            ball = 1000 / (1 + np.exp(12 * (np.sqrt(sum(x * x for x in axes)) - 0.6)))
            volume = Volume(ball.astype(np.int16))
            restored = codec.decompress(codec.compress(volume, bpv=_TEST_BPV))
            error = float(np.abs(restored.voxels.astype(float) - volume.voxels).mean())
            if restored.shape != volume.shape or error > ball.std():
                return {"ok": False, "problem": f"a {ndim}-D scan came back with error {error:.4g}"}
    except Exception as error:  # other bundles are still to be tested
        return {"ok": False, "problem": f"{type(error).__name__}: {error}"}
    return {"seconds": time.monotonic() - began}


def _in_words(report: dict[str, Any]) -> str:
    devices = report["devices"]
    versions = ", ".join(f"{n} {v or 'MISSING'}" for n, v in report["versions"].items())
    entries = [
        ("deepstd", report["deepstd"]),
        ("python", f"{report['python']}, {report['platform']}"),
        ("packages", versions),
        ("CPU", f"{devices['cpus']} cores, {devices['threads']} threads"),
        ("CUDA", ", ".join(devices["cuda"]) or "none"),
        ("engine", report["engine"]),
    ]
    for extra, packages in report["extras"].items():
        missing = [name for name, version in packages.items() if version is None]
        state = "present" if not missing else f"not installed: {', '.join(missing)}"
        entries.append((f"extra {extra}", state))
    entries += [("bundles in", folder) for folder in report["bundle_folders"]]
    for entry in report["bundles"]:
        state = f"works ({entry['seconds']:.1f} s)" if entry["ok"] else f"FAILS: {entry['problem']}"
        entries.append((f"bundle {entry['name']}", state))
    if not report["bundles"]:
        entries.append(("bundles", "NONE: install the package again, or train one"))
    return console.pairs(entries)
