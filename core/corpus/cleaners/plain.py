"""Text without a cleaner of its own: white space is normalized, control characters are dropped."""

from core.corpus.rules import Cleaner

CLEANER = Cleaner(version=1, needs_words=False)
