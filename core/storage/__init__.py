"""Folders on disk: run folder, cache, file hashes. No torch."""
