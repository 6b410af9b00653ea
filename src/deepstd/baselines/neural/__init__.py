"""Neural reference codecs: short own implementations after the publications."""
