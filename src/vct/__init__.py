"""Consistency training with noise couplings."""

__version__ = "0.1.0"
