"""Cleaning: makes clean text from raw text, with one cleaner for each BabyLM source."""
