"""Folders on disk: run folder, cache, file hashes. The package does not import torch."""
