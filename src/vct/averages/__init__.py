"""Averages of weights along training."""
