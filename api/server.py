"""The uvicorn server of the API."""

import socket

import uvicorn

from api.stream import Watchers


class ApiServer(uvicorn.Server):
    """A server that ends open streams when its shutdown begins.

    uvicorn alone waits for open responses, and an event stream ends only with its job.
    """

    def __init__(self, config: uvicorn.Config, watchers: Watchers) -> None:
        super().__init__(config)
        self._watchers = watchers

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the streams, then closes the connections and stops the app."""
        self._watchers.close()
        await super().shutdown(sockets)
