"""Registration of any two scans: files in, files out, and the transform between them.

    files: scans, labels, outputs ─▶ pair: affine stage, cycle-consistent fields ─▶ transform
    view ─ scans at half resolution    cycle ─ fit of the two fields    report ─ measurements

`shape` registers scans to a bundle's template with few parameters. This package spends more
parameters for accuracy.
"""
