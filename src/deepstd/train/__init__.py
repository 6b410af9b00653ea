"""Training: a folder of scans to a bundle. Imports torch, numpy, scipy and safetensors only.

scans ─ prepare ─▶ cache ─ template/ ─ registration ─ loop: networks ─▶ finish ─▶ bundle
session, checkpoint ─ stop and resume     budget ─ share of time     distributed ─ devices
"""
