"""Readers of compressed texts, and of files in which one column of the rows is the text."""
