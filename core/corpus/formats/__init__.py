"""Readers of texts that are compressed, or a column of rows; each gives the plain text."""
