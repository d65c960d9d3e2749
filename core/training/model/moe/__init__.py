"""Mixture of experts: routing, balancing loss and grouped matrix products."""
