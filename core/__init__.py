"""Training: turns a run folder with a spec into a finished run.

This package contains no database, queue or web code.
"""
