"""Files: whole or not there, locked, compared, and where each is."""
