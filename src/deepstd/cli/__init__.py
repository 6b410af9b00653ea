"""The command line: thin commands over the Python interface.

arguments ─ app ─▶ command ─ api, train ─▶ report ─ console ─▶ stdout, exit code

Commands import modules when they run, so that help and cheap commands answer at once.
"""
