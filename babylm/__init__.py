"""The babylm command."""
