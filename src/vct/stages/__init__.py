"""Stages: what one command of the pipeline reads, calls and writes. No mathematics here."""
