"""Templates and shape models from scans.

scans ─ build: align, average, fit fields in turn ─▶ template, shape model
population ─ fields of many scans at once    modes ─ principal deformations
detail ─ sharpness that averaging took away
"""
