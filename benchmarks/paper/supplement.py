"""Items of the Supplement, as far as the main text names them. The Supplement was not at hand."""

from __future__ import annotations

from functools import partial

from benchmarks.paper import ours, rates
from benchmarks.paper.item import DIFFERENT, NOT, OTHER, Compared, Item

_STANDING = "python -m benchmarks.standing"
_REGISTRATION = "python -m benchmarks.registration measure hippocampus"
_WHAT = "Dice / folding / CPU time"


def _method(name: str, shown: str = "") -> Compared:
    return Compared(f"{shown or name}, {_WHAT}", "–", partial(ours.registration, name))


def _study(what: str, study: str, peer: str) -> tuple[Compared, ...]:
    return (
        Compared(
            f"SSIM of {what}, 0.125 bpv",
            "–",
            partial(ours.mean_of, study, "0.125", "ssim", "{:.3f}"),
        ),
        Compared(f"PSNR over {peer}", "–", partial(ours.gap, study, peer, "0.125")),
        Compared("PSNR over VVC medium", "–", partial(ours.gap, study, "VVC medium", "0.125")),
    )


SUPPLEMENT = (
    Item(
        "Supplementary Fig. 5",
        "chest X-rays, CheXpert-small at 128×",
        "A 2-D version, trained on 10,000 images.",
        OTHER,
        "NIH ChestX-ray14, 512 × 512, 8 bits: 0.125 bpv is 128× of 16 bits, 64× as stored.",
        _study("X-rays", "xray", "AV1"),
        (f"{_STANDING} xray",),
    ),
    Item(
        "Supplementary Fig. 6",
        "brain MRI, fastMRI at 128×",
        "Trained on 700 T2-weighted scans.",
        OTHER,
        "Five other brains, with a bundle that has no template of them.",
        _study("brains", "brain-mr", "AV1"),
        (f"{_STANDING} brain-mr",),
    ),
    Item(
        "Supplementary Fig. 6 (b)",
        "texture coding with and without shape",
        "Named in the text for the gain by registration; the number is perhaps a misprint.",
        OTHER,
        "Hippocampus crops, whole files. On X-rays the field is worth little.",
        (
            Compared(
                "bytes with the shape stage", "–", partial(rates.rate_without_shape, "hippocampus")
            ),
            Compared(
                "bytes without it, X-rays",
                "–",
                partial(rates.ablation, "xray", "no deformation field", "chest-xray 3"),
            ),
        ),
        (_STANDING, "python -m benchmarks.ablations"),
    ),
    Item(
        "Supplementary Fig. 7",
        "knee MRI, fastMRI at 128×",
        "Trained on 460 scans.",
        NOT,
        "No knee data is at hand; `--protocol fastmri-knee` measures it where it is.",
        (),
        ("deepstd evaluate KNEES --protocol fastmri-knee",),
    ),
    Item(
        "Supplementary Fig. 8",
        "registration beside its peers, on Synapse",
        "Affine, B-spline, SyN, CorrField, VoxelMorph, CycleMorph and INR: the paper's Cycle INR "
        "is more accurate, smaller and faster.",
        DIFFERENT,
        "Hippocampus pairs. **IDIR (INR) has the higher Dice here**; CorrField is not measured. "
        "VoxelMorph and CycleMorph had minutes of training ([registration](registration.md)).",
        (
            _method("affine (elastix)"),
            _method("affine + B-spline (elastix)"),
            _method("SyN (ANTs)"),
            _method("VoxelMorph (own)"),
            _method("CycleMorph (own)"),
            _method("IDIR (own, small)"),
            _method("CorrField"),
            _method("DeepSTD"),
        ),
        (_REGISTRATION,),
    ),
    Item(
        "Supplementary Fig. 9 (a)",
        "both fields at once, or one after the other",
        "Both at once costs less.",
        OTHER,
        "Hippocampus pairs; the same is seen here.",
        (
            _method("DeepSTD", "both at once"),
            _method("DeepSTD, fields one after the other", "one after the other"),
        ),
        (_REGISTRATION,),
    ),
    Item(
        "Supplementary Fig. 9 (b)",
        "gradual degradation",
        "Lower frequencies where a registration goes badly: better throughout.",
        DIFFERENT,
        "No hippocampus pair needs it; cardiac pairs gain a little.",
        (
            _method("DeepSTD", "with it, hippocampus"),
            _method("DeepSTD, no degradation", "without, hippocampus"),
            Compared(
                f"with it, cardiac, {_WHAT}", "–", partial(ours.registration, "DeepSTD", "cardiac")
            ),
            Compared(
                f"without, cardiac, {_WHAT}",
                "–",
                partial(ours.registration, "DeepSTD, no degradation", "cardiac"),
            ),
        ),
        (_REGISTRATION, "python -m benchmarks.registration measure cardiac"),
    ),
    Item(
        "Supplementary Fig. 10",
        "texture networks beside others",
        "3DTCMPE leads other learned encoders in quality and speed.",
        DIFFERENT,
        "The bundles have lifting wavelets. An autoencoder after the paper, trained for minutes, "
        "needs more bytes; that tells little of one trained for a day on four GPUs.",
        (
            Compared(
                "autoencoder, hippocampus",
                "the best",
                partial(
                    rates.ablation,
                    "hippocampus",
                    "autoencoder (44 minutes of training)",
                    "hippocampus-t1 4",
                ),
            ),
            Compared(
                "autoencoder, X-rays",
                "the best",
                partial(
                    rates.ablation, "xray", "autoencoder (16 minutes of training)", "chest-xray 7"
                ),
            ),
        ),
        ("python -m benchmarks.ablations",),
    ),
    Item(
        "Supplementary Fig. 11 (a)",
        "3-D networks and coding of positions",
        "Both raise quality moderately and speed much.",
        OTHER,
        "Hippocampus crops: template features and positions left out, four minutes of training. "
        "2-D networks on the same scans are not measured.",
        (
            Compared(
                "without positions",
                "–",
                partial(rates.trained_without, "no template coordinates", "hippocampus-t1 3"),
            ),
            Compared(
                "without the template's features",
                "–",
                partial(rates.trained_without, "no template features", "hippocampus-t1 3"),
            ),
        ),
        ("python -m benchmarks.ablations",),
    ),
    Item(
        "Supplementary Fig. 12 (a)",
        "diagram of the two fields",
        "How the fields are fitted together.",
        OTHER,
        "Method, not a measurement: two networks with a cycle term, as in the paper; the file then "
        "holds a few numbers of a shape model ([architecture](architecture.md)).",
    ),
    Item(
        "Supplementary Fig. 12 (b)",
        "diagram of the texture networks",
        "Encoder and decoder.",
        NOT,
        "Method, not a measurement: the bundles have other networks "
        "([architecture](architecture.md)). An autoencoder with the paper's blocks can be trained.",
    ),
    Item(
        "Supplementary Table 2",
        "choice of the template",
        "AMOS at 128×: the widest scan is best, a random one worse, the mean of five rigidly "
        "aligned scans clearly worse.",
        DIFFERENT,
        "Hippocampus crops, correlation and Dice instead of files. **The opposite is found here**: "
        "averages are better than any one scan.",
        tuple(
            Compared(f"{name}, correlation / Dice", paper, partial(ours.template, name))
            for name, paper in (
                ("widest range", "best"),
                ("random", "worse"),
                ("mean after affine alignment", "clearly worse (rigid)"),
                ("group-wise average", "–"),
            )
        ),
        ("python benchmarks/registration/template_selection.py DATA --train 24 --test 10",),
    ),
)
