"""Scores of samples: the Fréchet distance by torch-fidelity, and exact scores of 2-D points."""
