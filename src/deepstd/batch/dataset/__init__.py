"""Side-cars, sums, table and README, which make a folder of compressed scans a data set.

SRC_DIR ─ side-cars ─ copied ─▶ OUT_DIR ◀─ deepstd.tsv, README.deepstd.md, report.html, SHA256SUMS
                                                      └─ ledger lines of all runs ─┘
"""
