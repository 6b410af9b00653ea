"""Codec: a volume to the bytes of a .dstd file and back, with one bundle.

    Volume ─ encoder: candidates ─ rate search ─ verify ─▶ file_builder ─▶ bytes
             ├ frames: time points of a 4-D scan      ├ slice_decision: slices or a volume
             ├ backgrounds: exact constant regions    └ without_bundle: constant, exact
    bytes ─ restoring ─▶ Volume

`codec` holds the class that users load. Modules are imported by name: half of them need no torch.
"""
