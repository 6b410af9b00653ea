"""The network: receiving DICOM into an archive, and sending restored series back.

node ─ C-STORE ─▶ Spool ─ a series is quiet ─▶ archive ─ batch ─▶ .dstd
.dstd ─ restored ─▶ send ─ C-STORE, STOW-RS ─▶ another node
"""
