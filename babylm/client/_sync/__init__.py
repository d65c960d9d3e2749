# Generated from babylm/client/_async by `python -m babylm.generate_sync`. Do not edit.
"""The synchronous client."""
