"""Measurements of a running training: metrics, warnings, remaining time and early stopping."""
