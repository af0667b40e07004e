"""What a run leaves in its folder, and whether it belongs together."""
