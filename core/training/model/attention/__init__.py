"""Attention: masks, kernels, and the choice of the implementation for a model."""
