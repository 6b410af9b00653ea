"""Restoring of a whole data set: ``deepstd restore DIR OUT``.

DIR ─ tree, plan ◀─ ledger ─▶ cases ─ processes ─▶ restored scans in a hidden folder
    restored scans ─ one writer ─▶ OUT/original name ─▶ a line in the ledger
"""
