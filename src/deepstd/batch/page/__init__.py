"""report.html: a page on all scans of a data set, in one file that loads nothing.

entries ─ rows, charts, pictures ─▶ page.html with page.css and page.js ─▶ report.html
"""
