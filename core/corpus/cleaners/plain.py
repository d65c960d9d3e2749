"""Any other text: only white space and control characters are put in order."""

from core.corpus.rules import Cleaner

CLEANER = Cleaner(version=1, needs_words=False)
