"""Writes a checkpoint as a GGUF file; `babylm export` starts this program.

    python -m core.export.gguf FOLDER FILE --name NAME

Prints one line of JSON: the counts of the file, `refused` with the reason why the model cannot be
exported, or `failed` with the reason why a file cannot be read or written.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from core.export.gguf.vocabulary import VocabularyRefused
from core.export.gguf.write import ExportRefused, write_gguf


def main() -> int:
    """Returns 0 if the file is written, else 1."""
    parser = argparse.ArgumentParser(prog="python -m core.export.gguf")
    parser.add_argument("folder", type=Path, help="checkpoint")
    parser.add_argument("output", type=Path, help="file to write")
    parser.add_argument("--name", required=True, help="name of the model in the file")
    options = parser.parse_args()
    try:
        written = write_gguf(options.folder, options.output, name=options.name)
    except KeyError as error:
        return _end("refused", f"a file of the checkpoint has no field {error}")
    except (ExportRefused, VocabularyRefused) as error:
        return _end("refused", str(error))
    except OSError as error:
        return _end("failed", str(error))
    sys.stdout.write(json.dumps(asdict(written)) + "\n")
    return 0


def _end(outcome: str, reason: str) -> int:
    sys.stdout.write(json.dumps({outcome: reason}) + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
