"""Texture: grey values to bytes and back, given a prediction of them.

    models, trainable  descriptions and arrays of bundles ─▶ networks and codecs
    codec         interfaces, and the codec of the wavelet and of slices
    description   sizes of networks, as JSON
    slices/       inter-slice prediction: reference slices, motion, coding order
    autoencoder/  the paper's transform, in torch
    networks/     networks in torch, for training and for GPUs
    wavelet/      lifting wavelet, coded level by level: the default
    filters/      post-filter, and the adaptive loop (Wiener) filter
    coded         what a file holds of a frame, and what is decoded from it
    conditioning  prediction and coordinates that encoder and decoder share
    header, scaling
    entropy/      context model in integers, quantiser, symbols, interleaved passes
    tiling, kinds

Imports go from the top of this list to its end; `tests/test_imports.py` fails otherwise. Arrays are
those of numpy, and the native engine does the heavy work.
"""
