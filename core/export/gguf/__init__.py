"""Exports checkpoints as GGUF files, the format of llama.cpp. No module imports torch."""
