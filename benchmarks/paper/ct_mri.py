"""Figures 1 to 3 of the paper: the scheme, CT at 256×, MRI at 128×."""

from __future__ import annotations

from functools import partial

from benchmarks.paper import neural, ours, rates
from benchmarks.paper.item import DIFFERENT, NOT, OTHER, SAME, Compared, Item
from benchmarks.paper.scale_page import COMMAND, one_scan, transfer
from deepstd.datasets.paper import PAPER

_CT, _MR = PAPER["ctspine1k"].figures, PAPER["amos"].figures
_STANDING = "python -m benchmarks.standing"
_SEGMENTATION = "python -m benchmarks.segmentation hippocampus"
_NO_DATA = (
    "The paper's scans are not at hand; `deepstd evaluate CTSpine1K --protocol ctspine1k` measures "
    "them."
)
_NO_MR = "The paper's scans are not at hand; `deepstd evaluate AMOS --protocol amos` measures them."
_HEAD_NECK = "Head-neck CT, cut to the body, with a bundle that has no template of it."
_OTHER_MR = "MR of breast, spinal cord and abdomen, with a bundle that has no template of them."
_PICTURES = (
    "`deepstd compare` makes pictures, differences and profiles of any scan; no picture of the "
    "paper's scans can be made without them."
)
_PEERS = (
    "The peers here are other implementations: x265, SVT-AV1, VVenC, OpenJPEG, SPERR and more, at "
    "the scan's own bit depth where the codec allows it. The paper gives 8 bits to JPEG, JPEG "
    "2000 and VVC."
)


def _standing(what: str, paper: str, study: str, bpv: str, figure: str, form: str) -> Compared:
    return Compared(what, paper, partial(ours.mean_of, study, bpv, figure, form))


def _best(what: str, study: str, bpv: str, figure: str, form: str, *, least: bool) -> Compared:
    return Compared(what, "–", partial(ours.best_peer, study, bpv, figure, form, least=least))


def _gaps(study: str, codec: str) -> tuple[Compared, ...]:
    return tuple(
        Compared(
            f"PSNR over {codec}, {ratio}×",
            "ahead of all (SSIM)",
            partial(ours.gap, study, codec, bpv),
        )
        for ratio, bpv in ((32, "0.5"), (64, "0.25"), (128, "0.125"), (256, "0.0625"))
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
        (_STANDING, "python -m benchmarks.registration.first_stage"),
    ),
    Item(
        "Fig. 1b",
        "a restored CT, its error and the template",
        "A rendering and three slices of a CTSpine1K scan at 256×, with the difference.",
        NOT,
        f"{_NO_DATA} {_PICTURES}",
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
        f"{_HEAD_NECK} **Ahead in SSIM, not in MAE**, and far from the paper's figures.",
        (
            _standing(
                "MAE, 256×", f"{_CT['mae'].value:g} HU", "head-neck", "0.0625", "mae", "{:.1f} HU"
            ),
            _best("the best peer's MAE", "head-neck", "0.0625", "mae", "{:.1f} HU", least=True),
            _standing(
                "SSIM, 256×", f"{_CT['ssim'].value:g}", "head-neck", "0.0625", "ssim", "{:.3f}"
            ),
            _best("the best peer's SSIM", "head-neck", "0.0625", "ssim", "{:.3f}", least=False),
        ),
        (f"{_STANDING} head-neck",),
    ),
    Item(
        "Fig. 1e",
        "quality and speed of MRI at 128×",
        "SSIM over encoding speed: the paper's method has the best quality.",
        DIFFERENT,
        f"{_OTHER_MR} Ahead of every peer, but **far from the paper's SSIM**.",
        (
            _standing(
                "SSIM, 128×", f"{_MR['ssim'].value:g}", "other-mr", "0.125", "ssim", "{:.3f}"
            ),
            _best("the best peer's SSIM", "other-mr", "0.125", "ssim", "{:.3f}", least=False),
        ),
        (f"{_STANDING} other-mr",),
    ),
)


def _quality(letter: str, study: str, bpv: str, ratio: int, why: str) -> Item:
    """Return the item of fidelity and segmentation, b of Figs. 2 and 3."""
    figures = _CT if letter == "2" else _MR
    rows = [
        _standing(f"SSIM, {ratio}×", f"{figures['ssim'].value:g}", study, bpv, "ssim", "{:.3f}"),
        Compared(
            "Dice / HD95 against the original's segmentation",
            f"{figures['dice'].value:g} % / {figures['hd95'].value:g}",
            partial(ours.overlap, bpv),
        ),
        Compared(
            "the same against labels that people drew", "–", partial(ours.overlap, bpv, truth=True)
        ),
    ]
    if "mae" in figures:
        mae = f"{figures['mae'].value:g} HU"
        rows.insert(0, _standing(f"MAE, {ratio}×", mae, study, bpv, "mae", "{:.1f} HU"))
    return Item(
        f"Fig. {letter}b",
        f"fidelity and segmentation at {ratio}×",
        "Box plots over the test scans; organs are segmented before and after by UNETR++.",
        DIFFERENT,
        f"{why} **SSIM is far lower here.** Dice and HD95 are those of hippocampus crops, "
        "segmented by a small SegResNet.",
        tuple(rows),
        (f"{_STANDING} {study}", _SEGMENTATION),
    )


def _figure(letter: str, study: str, ratio: int, bpv: str, seconds: str) -> tuple[Item, ...]:
    ct = letter == "2"
    why = _HEAD_NECK if ct else _OTHER_MR
    data = _NO_DATA if ct else _NO_MR
    archive = "CTSpine1K" if ct else "AMOS MRI"
    peer = "VVC medium" if ct else "HEVC slow"
    leads = (
        "**VVC is ahead at 32× and 64×**, DeepSTD from 128× on."
        if ct
        else "Ahead of every peer that has a file for all four scans; VVC is not measured on them."
    )
    before, after = ("5 days", "26 minutes") if ct else ("8 hours", "4 minutes")
    return (
        Item(
            f"Fig. {letter}a",
            "bytes and transfer of the whole data set",
            f"Transfer at 500 kB/s before and after compression by {ratio}×.",
            SAME,
            "A calculation in the paper, too: it follows from the bytes. Files here fill 0.997 to "
            "1.000 of what the ratio allows. Nothing was transferred.",
            (
                Compared("transfer of the scans", before, partial(transfer, archive, packed=False)),
                Compared("transfer of the files", after, partial(transfer, archive, packed=True)),
            ),
            ("python -m benchmarks.paper",),
        ),
        _quality(letter, study, bpv, ratio, why),
        Item(
            f"Fig. {letter}c",
            "a slice beside the original",
            "A slice, magnified regions and intensity profiles.",
            NOT,
            f"{data} {_PICTURES}",
        ),
        Item(
            f"Fig. {letter}d",
            "another slice beside the original",
            "The same at another depth.",
            NOT,
            f"{data} {_PICTURES}",
        ),
        Item(
            f"Fig. {letter}e",
            "segmentation before and after",
            "Organs found on the original and on the restored scan, and their differences.",
            NOT,
            f"{data} `deepstd compare --segmenter` draws such overlays of any scan.",
        ),
        Item(
            f"Fig. {letter}f",
            "time by shape and texture",
            "Encoding and decoding of a scan on one RTX 3090, each split in shape and texture.",
            DIFFERENT,
            "One CPU thread, effort fast, no template, so that all is texture. From the line "
            "through [measured costs](#large-scans), at the mean size of the paper's scans.",
            (
                Compared("seconds to encode", seconds, partial(one_scan, archive, "compress_s")),
                Compared("seconds to decode", "–", partial(one_scan, archive, "restore_s")),
            ),
            (COMMAND,),
        ),
        Item(
            f"Fig. {letter}g",
            "fidelity from 32× to 256× beside others",
            "The paper's method leads all others at every ratio.",
            DIFFERENT if ct else OTHER,
            f"{leads} {why} {_PEERS}",
            _gaps(study, peer),
            (f"{_STANDING} {study}",),
        ),
        Item(
            f"Fig. {letter}h",
            "segmentation from 32× to 256×",
            "Dice and HD95 beside others.",
            OTHER,
            "Hippocampus crops; other codecs are in [the benchmark](benchmark.md).",
            tuple(
                Compared(f"Dice / HD95, {r}×", "–", partial(ours.overlap, b))
                for r, b in ((32, "0.5"), (64, "0.25"), (128, "0.125"), (256, "0.0625"))
            ),
            (_SEGMENTATION,),
        ),
        _speeds(letter, study, peer),
    )


def _speeds(letter: str, study: str, peer: str) -> Item:
    """Return the item of speeds beside others, i of Figs. 2 and 3."""
    ct = letter == "2"
    studies = neural.CT_STUDIES if ct else neural.MR_STUDIES
    brief = "37 to 139 times as long" if ct else "44 to 165 times as long"
    rows = [
        Compared(
            f"encoding time against {peer}",
            "1/18 to 1/46 (VTM)" if ct else "–",
            partial(ours.time_against, study, peer, "0.25"),
        )
    ]
    rows += [
        Compared(name, brief if "BRIEF" in name else "–", partial(neural.against, name, studies))
        for name in neural.codecs(studies)
    ]
    return Item(
        f"Fig. {letter}i",
        "encoding speed beside others",
        "Encoding speed at four ratios: the method on a GPU, VVC as its reference software.",
        DIFFERENT,
        "All on the CPU, beside other work. **Most conventional peers encode faster here.** VVC is "
        "the fast encoder VVenC, not VTM. Of neural peers: their time against that of DeepSTD.",
        tuple(rows),
        (_STANDING, neural.COMMAND),
    )


FIGURE_2 = _figure(
    "2",
    "head-neck",
    256,
    "0.0625",
    f"{_CT['encode_s'].value:g}",
)
FIGURE_3 = _figure(
    "3",
    "other-mr",
    128,
    "0.125",
    f"{_MR['encode_s'].value:g}",
)
