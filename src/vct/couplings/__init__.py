"""Couplings: how a data point gets the noise that it is trained with. One method, one file."""
