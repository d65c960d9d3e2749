"""The search for a good learning rate."""
