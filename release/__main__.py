"""Carries out the checklist of a release: `python -m release [--dry-run]`."""

import argparse
import sys

from release.checklist import ROOT, StepFailed, run


def main() -> int:
    """Carries out the checklist; returns 1 if a step fails."""
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="only check; run no command")
    options = parser.parse_args()
    try:
        run(ROOT, is_dry=options.dry_run, report=_report)
    except StepFailed as error:
        sys.stderr.write(f"release stopped: {error}\n")
        return 1
    return 0


def _report(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
