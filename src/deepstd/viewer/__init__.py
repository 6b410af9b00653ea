"""A page that shows a restored scan beside its original, in the browser and in notebooks.

IN.dstd, original ─ scene ─▶ Scene ─┬ server ─ loopback only ─▶ browser
                                    └ widget ─ kernel messages ─▶ notebook

The page is `page/`: HTML, CSS and JavaScript without a build step. Slices are computed here.
"""
