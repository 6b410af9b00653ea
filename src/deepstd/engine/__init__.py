"""The native engine: the same integers as the reference in Python, many times faster.

    csrc/*.c ─ compiled once, at installation ─▶ shared library ─ ctypes ─▶ `library`

The library is optional. Where it is missing, the reference computes the same symbols and bytes,
and `deepstd doctor` says so. Callers ask `library.engine()` and fall back to the reference on None.
"""
