"""Data-parallel training on one machine, with one process per device."""
