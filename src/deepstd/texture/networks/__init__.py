"""Networks in torch: for training, for GPUs, and as the reference of the native engine.

network ─┬ context ─ integer      context model, in whole numbers
         └ postfilter ─ fold      in floating point
levels ─ features, lifting        the level loop on tensors, with gradients
source, quantizer, conditioning   symbols and predictions as tensors
placed                            networks on GPUs for the coder, on arrays
runtime, serialization            devices and number types, arrays of a bundle
"""
