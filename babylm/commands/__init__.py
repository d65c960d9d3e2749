"""The commands, grouped by what they act on. Importing one costs no more than typer itself."""
