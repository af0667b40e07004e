"""Samples: what they start from, and how they are drawn."""
