"""The commands, grouped by topic. A module imports only typer until its command runs."""
