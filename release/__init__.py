"""The checklist of a release: `python -m release --dry-run`."""
