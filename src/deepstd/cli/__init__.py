"""The command line: thin commands over the Python interface.

arguments ─ app ─▶ command ─ api, train ─▶ report ─ console ─▶ stdout, exit code

Commands import what they need when they run, so that help and small questions answer at once.
"""
