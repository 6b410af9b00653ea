"""Wavelet codec: a lifting wavelet whose subbands are coded from coarse to fine.

values ─ lifting ─▶ subbands ─ levels: one loop for encoder and decoder ─▶ symbols
encoder, decoder ─ streams of tiles (bitstream)     check ─ payloads before memory is taken
refinement ─ quantisation targets that lower the error after the filter
anisotropy ─ relative voxel sizes, for the split plan    preview ─ low-pass bands as images
"""
