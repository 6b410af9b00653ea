"""Check of a whole data set: ``deepstd verify DIR``.

DIR ─ tree, SHA256SUMS ─▶ cases ─ processes: hash, parse, decode, compare ─▶ problems by file
"""
