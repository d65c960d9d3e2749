"""The stages of a run: what they share, and how they report progress."""
