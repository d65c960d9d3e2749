"""The parser of server-sent events (HTML standard, 9.2.6)."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Message:
    """One message of the stream."""

    id: str
    event: str
    data: str


@dataclass
class MessageParser:
    """Parses the lines of a stream one by one; comments and pings give no message."""

    _id: str = ""
    _event: str = ""
    _data: list[str] = field(default_factory=list)

    def feed(self, line: str) -> Message | None:
        """Parses a line; returns a message if the line ends one."""
        if not line:
            message = None
            if self._data:
                message = Message(self._id, self._event or "message", "\n".join(self._data))
            self._event, self._data = "", []
            return message
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None
