"""Templates and shape models of a population of scans.

scans ─ build: align, average, fit fields in turn ─▶ template, shape model
population ─ fields of many scans at once    modes ─ principal deformations
detail ─ smoothness that matches the scans' detail
"""
