"""Estimators of what couplings do and models learn, each named after its quantity."""
