"""How a step is executed: device, precision, micro-batch, compilation, CUDA graphs."""
