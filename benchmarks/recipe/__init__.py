"""The recipe study: trains each condition with each seed and writes a JSON line per run."""
