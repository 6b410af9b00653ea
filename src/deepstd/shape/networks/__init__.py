"""Deformation fields in torch: for training, and for the registration of any two scans.

    shape: hidden layers are fixed, derivatives by the heads are written out    (numpy)
    shape.networks: hidden layers are fitted, too, by automatic differentiation (torch)

Compressing and restoring need nothing of this.
"""
