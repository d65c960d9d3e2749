"""Supervision: claims a job, starts its training child, records what it reports."""
