"""Rate control: a requested size, and the search that meets it. No torch.

ratio, bpv or bytes ─ Target ─▶ bytes allowed ─ search over quantisation steps ─▶ encoding
last per cent ─ tile_fit: tiles are coded again with another λ
tradeoff ─ rate-distortion cost                effort ─ time that an encoder may take
"""
