"""The two engines: what they ask, and how each takes over from the other."""
