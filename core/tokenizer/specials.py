"""The special tokens and their ids. No imports: code that needs only ids loads no tokenizer."""

END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"
UNKNOWN = "<|unk|>"
SPECIAL_TOKENS = (END_OF_TEXT, PAD, UNKNOWN)
"""The id of a token is its index in the tuple. `<|endoftext|>` begins and ends a text, as in GPT-2.
A byte-level vocabulary can encode any text, but evaluation programs require an unknown token."""
END_OF_TEXT_ID = 0
PAD_ID = 1
