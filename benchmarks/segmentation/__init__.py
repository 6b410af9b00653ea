"""What compression does to segmentations."""
