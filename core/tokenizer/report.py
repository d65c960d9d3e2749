"""The report of a tokenizer, stored in its folder. Does not load the tokenizer library."""

from pydantic import BaseModel, ConfigDict

REPORT = "report.json"


class TokenizerReport(BaseModel):
    """Result of training a tokenizer, stored as `report.json` in its folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requested_vocab_size: int
    vocab_size: int
    """Number of entries; less than requested if the text has too few frequent pairs."""
    merges: int
    bytes: int
    """Bytes of the training text; 0 if the tokenizer was trained elsewhere."""
    counting_seconds: float
    merging_seconds: float
