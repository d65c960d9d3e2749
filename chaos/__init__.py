"""Fault injection: the real service under seeded faults, and an independent checker.

Not part of the installed package.
"""
