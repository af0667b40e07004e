"""Where data come from. One source, one file."""
