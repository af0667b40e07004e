"""Samplers: from noise to data in few steps, or along an ODE."""
