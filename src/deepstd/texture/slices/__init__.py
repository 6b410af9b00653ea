"""Slice codec: images along one axis, predicted from decoded slices on both sides.

schedule ─ coding order: key slices, then the slices half way between (hierarchical B-frames)
motion ─ bilateral matching between reference slices
encoder, decoder ─ a stream for each slice
"""
