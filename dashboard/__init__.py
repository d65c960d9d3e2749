"""The dashboard: `src` has the sources, and `dist` has the built files that the API serves."""
