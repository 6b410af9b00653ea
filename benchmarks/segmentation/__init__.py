"""Effect of compression on segmentations."""
