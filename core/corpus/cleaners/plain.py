"""Text of any other source: white space is normalized, and control characters are dropped."""

from core.corpus.rules import Cleaner

CLEANER = Cleaner(version=1, needs_words=False)
