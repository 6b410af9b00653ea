"""Entropy model and symbols: prediction, quantisation and coding of coefficients.

features of decoded levels ─ context model (integers) ─▶ mean and scale of each coefficient
coefficients ─ quantizer ─▶ symbols ─ range coder (`coding`) ─▶ stream
native_* ─ the same, computed by the engine
"""
