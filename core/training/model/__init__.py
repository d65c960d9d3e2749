"""Faster parts of the models: attention, experts; and dropout for training."""
