"""Encodes clean text into memory-mapped token files, and batches them in a seeded order."""
