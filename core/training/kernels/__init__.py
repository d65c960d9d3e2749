"""Triton kernels. Each has a reference implementation in torch."""
