"""The recipe study: conditions x seeds, one JSON line for each finished run."""
