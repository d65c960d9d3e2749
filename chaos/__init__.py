"""Faults on purpose: the real service under seeded faults, and a checker that trusts none of it.

Not installed with the product.
"""
