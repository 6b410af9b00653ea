"""Networks in torch: for training, for GPUs, and as the reference of the native engine.

network ─┬ context ─ integer      context model, in whole numbers
         └ postfilter             in floating point
levels ─ features, lifting        the level loop on tensors, with gradients
runtime, serialization            devices and number types, arrays of a bundle
"""
