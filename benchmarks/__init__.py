"""The benchmarks: one module per area, one line of JSON per figure. Run by `make bench`."""
