"""Runs that the tests of loading and exporting share (tests/lab/reuse/conftest.py makes them)."""

POINTS, IMAGES, PAIRED = "small/variational/seed0", "pictures/variational/seed3", "small/ot/seed1"
