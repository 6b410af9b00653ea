"""Many scans in one command, which may be killed at any time and goes on where it was.

SRC_DIR ─ discover ─ shard ─ plan ◀─ ledger ─▶ cases ─ processes here | Ray actors ─▶ .dstd bytes
    .dstd bytes ─ one writer ─▶ OUT_DIR/name.dstd ─▶ a line in the ledger ─▶ summary
"""
