"""Figure 1 of the paper: the scheme, and its results at a glance."""

from __future__ import annotations

from functools import partial

from benchmarks.paper import ours, rates
from benchmarks.paper.item import DIFFERENT, NOT, OTHER, Compared, Item
from benchmarks.paper.shared import (
    CT,
    HEAD_NECK,
    MR,
    NO_CT,
    OTHER_MR,
    PICTURES,
    STANDING,
    best_row,
    mean_row,
)

FIGURE_1 = (
    Item(
        "Fig. 1a",
        "the scheme",
        "Shape as a deformation field to a template, texture by a network, both in one file.",
        OTHER,
        "Same split in two, other parts: the field predicts the scan on its own grid, where the "
        "texture is coded, and all symbols are entropy-coded. Coding on the template's grid, as "
        "the paper does, lost 6 to 10 dB here ([ablations](ablations.md)). Hippocampus crops.",
        (
            Compared("bytes of the field", "–", ours.field_bytes),
            Compared(
                "the shape stage, at equal PSNR",
                "–",
                partial(rates.rate_without_shape, "hippocampus"),
            ),
        ),
        (STANDING, "python -m benchmarks.registration.first_stage"),
    ),
    Item(
        "Fig. 1b",
        "a restored CT, its error and the template",
        "A rendering and three slices of a CTSpine1K scan at 256×, with the difference.",
        NOT,
        f"{NO_CT} {PICTURES}",
        (),
        ("deepstd compare SCAN -o REPORT",),
    ),
    Item(
        "Fig. 1c",
        "a restored MRI, its error and the template",
        "The same for an AMOS scan at 128×.",
        OTHER,
        "A slice of MNI152 at 64×, and the difference: [picture](pictures/mni152.png).",
        (),
        ("python -m benchmarks.picture",),
    ),
    Item(
        "Fig. 1d",
        "quality and speed of CT at 256×",
        "MAE and SSIM over encoding speed: the paper's method has the best quality.",
        DIFFERENT,
        f"{HEAD_NECK} **Ahead in SSIM, not in MAE**, and far from the paper's figures.",
        (
            mean_row(
                "MAE, 256×", f"{CT['mae'].value:g} HU", "head-neck", "0.0625", "mae", "{:.1f} HU"
            ),
            best_row("the best peer's MAE", "head-neck", "0.0625", "mae", "{:.1f} HU", least=True),
            mean_row(
                "SSIM, 256×", f"{CT['ssim'].value:g}", "head-neck", "0.0625", "ssim", "{:.3f}"
            ),
            best_row("the best peer's SSIM", "head-neck", "0.0625", "ssim", "{:.3f}", least=False),
        ),
        (f"{STANDING} head-neck",),
    ),
    Item(
        "Fig. 1e",
        "quality and speed of MRI at 128×",
        "SSIM over encoding speed: the paper's method has the best quality.",
        DIFFERENT,
        f"{OTHER_MR} Ahead of every peer, but **far from the paper's SSIM**.",
        (
            mean_row("SSIM, 128×", f"{MR['ssim'].value:g}", "other-mr", "0.125", "ssim", "{:.3f}"),
            best_row("the best peer's SSIM", "other-mr", "0.125", "ssim", "{:.3f}", least=False),
        ),
        (f"{STANDING} other-mr",),
    ),
)
