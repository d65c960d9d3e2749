"""Training a byte-level BPE tokenizer."""
