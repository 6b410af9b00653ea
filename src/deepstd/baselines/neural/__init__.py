"""Neural reference codecs: short own implementations of published methods.

voxels ─ a network per method ─▶ codestreams ─▶ voxels
"""
