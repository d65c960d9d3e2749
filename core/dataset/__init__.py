"""Clean text to memory-mapped tokens, and seeded batches over them."""
