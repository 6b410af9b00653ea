"""Filters after the reconstruction.

reconstruction ─ postfilter (learned, in the bundle) ─ wiener (fitted to the scan, in the file)
wiener_fit ─ least squares on the encoder's side
"""
