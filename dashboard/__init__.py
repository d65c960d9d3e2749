"""The static page; no build step."""
