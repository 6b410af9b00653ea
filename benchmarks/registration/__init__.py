"""Registration beside its peers on held-out scans: `python -m benchmarks.registration`.

pairs.py ─ two scans ─▶ methods ─ warp.Warp ─▶ measure.py ─ rows ─▶ page.py
"""
