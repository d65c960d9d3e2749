"""The special tokens and their ids, once; light, so that batches need no tokenizer library."""

END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"
UNKNOWN = "<|unk|>"
SPECIAL_TOKENS = (END_OF_TEXT, PAD, UNKNOWN)
"""Their ids are their places here. `<|endoftext|>` begins and ends a text, as in GPT-2; nothing is
ever unknown to a byte-level vocabulary, but evaluation programs ask for an unknown token."""
END_OF_TEXT_ID = 0
PAD_ID = 1
