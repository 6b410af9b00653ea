"""Entropy model and symbols: what predicts coefficients, and what codes them.

features of decoded levels ─ context model (integers) ─▶ mean and scale of each coefficient
coefficients ─ quantizer ─▶ symbols ─ range coder (`coding`) ─▶ stream
native_* ─ the same, computed by the engine
"""
