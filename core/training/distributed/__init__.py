"""Data-parallel training on one machine: one process per device."""
