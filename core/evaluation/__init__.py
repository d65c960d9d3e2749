"""Evaluations of a checkpoint on folders of minimal pairs, such as BLiMP."""
