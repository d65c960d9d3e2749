"""The context that all stages of a run share, and the reporter of their progress."""
