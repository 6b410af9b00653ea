"""Autoencoder codec: the paper's 3DTCMPE in place of the wavelet.

values, warped template ─ analysis ─▶ latent ─ hyperprior, context ─▶ symbols ─ synthesis
"""
