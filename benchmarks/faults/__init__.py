"""What is done to a training, its files and its engines, and whether it survives."""
