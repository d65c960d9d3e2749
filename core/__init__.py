"""Training: a run folder in, a finished run folder out. Knows no database, queue or web."""
