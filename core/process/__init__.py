"""Processes and their ends: pool, stop requests, loading of libraries, system errors."""
