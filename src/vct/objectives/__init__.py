"""Objectives: the consistency loss and its noise levels. One method, one file."""
