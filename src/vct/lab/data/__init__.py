"""Data sets: arrays on disk with a content hash, and the order in which training sees them."""
