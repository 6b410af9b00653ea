"""Symbols to bytes and back, in integers only.

    symbols, scale indices ─ ScaleTables (frozen integer frequencies) ─ range coder ─▶ bytes

A model predicts, for every symbol, the index of a scale; the table of that index holds the
frequencies of the symbol values. Nothing here knows what the symbols mean. `tables` needs numpy
alone, so that training runs where no coder is installed; `range_coder` needs `constriction`.
"""
