"""Data-parallel training on the GPUs of one machine: one process for each GPU."""
