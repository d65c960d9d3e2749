"""Any other text: normalizes white space and drops control characters."""

from core.corpus.rules import Cleaner

CLEANER = Cleaner(version=1, needs_words=False)
