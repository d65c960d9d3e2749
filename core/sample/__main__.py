"""Writes the sample corpus: python -m core.sample DATA_DIR."""

import sys
from pathlib import Path

from core.sample import write_sample

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m core.sample DATA_DIR")
    written = write_sample(Path(sys.argv[1]))
    sys.stdout.write(f"{written.train}\n{written.validation}\n{written.pairs}\n")
