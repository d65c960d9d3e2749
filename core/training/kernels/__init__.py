"""Triton kernels; each has a reference implementation in torch."""
