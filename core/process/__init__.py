"""Process pool, stop requests, library loading, and system errors."""
