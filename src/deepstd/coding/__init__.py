"""Symbols to bytes and back, in integers only.

    symbols, scale indices ─ ScaleTables (frozen integer frequencies) ─ range coder ─▶ bytes

An entropy model predicts the index of a scale for every symbol. The table of this index holds the
frequencies of the symbol values. `tables` needs numpy alone, so that training runs where no coder
is installed; `range_coder` needs `constriction`.
"""
