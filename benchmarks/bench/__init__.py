"""How near the software is to what its own convolutions and matrix products take."""
