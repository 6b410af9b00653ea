"""Figure 4 of the paper: several GPUs, training, few scans, exact ratios."""

from __future__ import annotations

from functools import partial

from benchmarks.paper import ours, rates
from benchmarks.paper.item import DIFFERENT, NOT, OTHER, SIMULATED, Compared, Item
from benchmarks.paper.scaled import COMMAND, hours

_FEW = "python -m benchmarks.fewshot hippocampus --minutes 10 --work WORK"


def _few_scans() -> Item:
    """Return the item of few scans; its status is that of the kept runs."""
    found = rates.few_scans()
    worked = [few for few in found if set(few.regaining) == set(few.bits) - {rates.PLAIN}]
    told = "; ".join(f"{few.name}: {', '.join(few.regaining) or 'none'}" for few in found)
    status = NOT if not found else OTHER if len(worked) == len(found) else DIFFERENT
    return Item(
        "Fig. 4e",
        "training on few scans",
        "With 50 of 915 scans quality falls; deformations and a teacher each regain some, both "
        "together more.",
        status,
        f"Minutes of training instead of hours. **Strategies that regain bits here: {told}** "
        "([few scans](few-scans.md)).",
        tuple(
            Compared(
                f"{few.name}, {variant}: bits against all scans",
                "–",
                partial("{:+.1f} %, {} steps".format, bits, few.steps[variant]),
            )
            for few in found
            for variant, bits in few.bits.items()
        ),
        (_FEW,),
    )


FIGURE_4 = (
    Item(
        "Fig. 4a",
        "encoding on 1, 2, 4 and 8 GPUs",
        "Texture encoding shrinks with the number of GPUs; shape encoding stays as it is.",
        SIMULATED,
        "No machine with several GPUs was at hand. `-d cuda:0,cuda:1` shares a scan between GPUs, "
        "and is not measured. A batch on many workers is [simulated below](#scale-by-simulation).",
        (
            Compared("CTSpine1K", "18 hours, 1 GPU", partial(hours, "CTSpine1K", 1)),
            Compared("CTSpine1K", "–", partial(hours, "CTSpine1K", 8)),
        ),
        (COMMAND,),
    ),
    Item(
        "Fig. 4b",
        "decoding on 1, 2, 4 and 8 GPUs",
        "Texture and shape decoding shrink with the number of GPUs.",
        NOT,
        "No machine with several GPUs was at hand.",
    ),
    Item(
        "Fig. 4c",
        "time of the steps of a training",
        "Networks about 96 %, alignment about 4 %, choice of the template 0.01 % of 25 hours (CT) "
        "and 22 hours (MRI) on four RTX 3090.",
        OTHER,
        "Head-neck CT, one shared CPU core; the template is an average, so none is chosen. The "
        "training is far shorter than the paper's.",
        (Compared("shares", "96 %, 4 %, 0.01 %", ours.training_shares),),
        ("deepstd train",),
    ),
    Item(
        "Fig. 4d",
        "quality over the time of training",
        "SSIM after different times, mean and deviation of three runs.",
        NOT,
        "No bundle here was trained three times. Every run draws its own validation curve.",
        (),
        ("deepstd train",),
    ),
    _few_scans(),
    Item(
        "Fig. 4f",
        "exact and free ratios",
        "Left: ratios of 50 AMOS scans asked for 256×, beside others. Right: twenty ratios from "
        "32× to 512×.",
        OTHER,
        "Same experiment, thirty hippocampus crops instead of AMOS; every file is exact to 0.3 %. "
        "Bytes used by the peers are in [the benchmark](benchmark.md).",
        (
            Compared(
                "sizes, twenty ratios",
                "texture within 0.3 %, the shape makes up for it",
                ours.exact_sizes,
            ),
        ),
        ("python -m benchmarks.window",),
    ),
)
