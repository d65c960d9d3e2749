"""Fine-tunes a checkpoint on classification tasks."""
