"""Models and checkpoints: building, saving, loading, text generation and model cards."""
