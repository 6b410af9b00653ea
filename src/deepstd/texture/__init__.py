"""Texture: grey values to bytes and back, given a prediction of them.

    codec         choice of the coder by payload and network
    models        network configurations ─▶ networks
    wavelet/      lifting wavelet, coded level by level: the default
    slices/       inter-slice prediction: reference slices, motion, coding order
    autoencoder/  the paper's transform
    filters/      post-filter, and the adaptive loop (Wiener) filter
    coded         what a file holds of a frame, and what is decoded from it
    entropy/      context model in integers, quantiser, symbols, interleaved passes
    conditioning  prediction and coordinates that encoder and decoder share
    header, scaling, serialization, tiling, runtime

Imports go from the top of this list to its end; `tests/test_imports.py` fails otherwise.
"""
