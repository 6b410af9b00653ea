"""Metrics and reports of benchmarks, beyond the error metrics stored in every file."""

from deepstd.evaluate.figures import Figures, Yardstick, foreground_of
from deepstd.evaluate.metrics import bd_psnr, bd_rate, percentile_peak, range_peak
from deepstd.evaluate.segmentation import hd95
from deepstd.overlap import dice, labels_of

__all__ = [
    "Figures",
    "Yardstick",
    "bd_psnr",
    "bd_rate",
    "dice",
    "foreground_of",
    "hd95",
    "labels_of",
    "percentile_peak",
    "range_peak",
]
