"""Replacements for parts of the models: faster attention and experts, and dropout for training."""
