"""The dashboard: its sources in src, and the bundle that is served in dist."""
