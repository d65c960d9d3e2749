"""How steps are executed: device, precision, micro-batches, compilation and CUDA graphs."""
