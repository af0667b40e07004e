"""Processes, GPUs and arithmetic."""
