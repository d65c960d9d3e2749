"""Evaluation of checkpoints on tasks such as BLiMP, EWoK and reading times."""
