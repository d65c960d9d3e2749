"""Triton kernels. For each kernel there is a reference implementation in torch."""
