"""Published EDM and EDM2 checkpoints, read without running anything that they hold."""
