"""What benchmarks measure beyond the figures that every file carries."""

from deepstd.evaluate.metrics import bd_psnr, bd_rate, percentile_peak, range_peak

__all__ = ["bd_psnr", "bd_rate", "percentile_peak", "range_peak"]
