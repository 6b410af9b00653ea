"""Bundles on scans of another scanner, contrast or resolution, with and without an update."""
