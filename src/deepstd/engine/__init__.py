"""The native engine: bit-exact with the reference in Python, and many times faster.

    csrc/*.c ─ compiled once, at installation ─▶ shared library ─ ctypes ─▶ `library`

The library is optional. Where it is missing, the reference computes the same symbols and bytes, and
`deepstd doctor` reports it. Callers use the reference where `library.engine()` returns None.
"""
