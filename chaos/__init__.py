"""Fault injection: the real service under random faults, and an independent checker.

A *round* is one run of the service with one random seed, which determines the jobs and the faults.
The folder is not part of the installed package.
"""
