"""Raw text to clean text, a cleaner per BabyLM source."""
