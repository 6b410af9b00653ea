"""The native engine under the sanitizers of gcc.

damaged files, random valid input ─ every native function ─▶ no fault, or a report and exit code 1
"""
