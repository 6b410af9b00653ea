"""Figures and tables of the paper, one by one, beside what is measured here: docs/paper.md."""
