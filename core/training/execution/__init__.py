"""Execution of steps: device, precision, micro-batch, compilation, CUDA graphs."""
