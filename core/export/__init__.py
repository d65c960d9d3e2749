"""Export check, GGUF files, submissions to the BabyLM challenge, and experiment trackers."""
