"""Attention: masks, kernels and the implementation chosen for a model."""
