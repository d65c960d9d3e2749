"""The benchmarks: one module an area, one line of JSON a figure. Run by `make bench`."""
