"""Models and checkpoints: building, saving, loading, text generation, the model card."""
