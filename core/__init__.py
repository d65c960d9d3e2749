"""Training: turns a run folder with a spec into a finished run. No database, queue or web code."""
