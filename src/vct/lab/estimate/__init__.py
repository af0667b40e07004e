"""What a suite will cost, from its settings alone: no data, no GPU, no training."""
