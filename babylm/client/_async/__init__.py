"""The client for asyncio. `babylm.generate_sync` writes `babylm/client/_sync` from this folder."""
