"""Compression of many scans in one command, which resumes after an interruption.

SRC_DIR ─ discover ─ shard ─ plan ◀─ ledger ─▶ cases ─ processes here | Ray actors ─▶ .dstd bytes
    .dstd bytes ─ one writer ─▶ OUT_DIR/name.dstd ─▶ a line in the ledger ─▶ summary
"""
