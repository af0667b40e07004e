"""The training loop and its rolling checkpoints."""
