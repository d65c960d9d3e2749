"""The address of a service: a URL or a Unix socket, and how to connect to it.

Connections to this machine never go through a proxy: a proxy cannot reach the loopback
interface of this machine, and it would see the API key in the request.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from babylm.client.errors import InvalidUsage

if TYPE_CHECKING:
    import httpx2 as httpx

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
UNIX_PREFIXES = ("unix://", "unix:")
HTTP_UNIX = "http+unix://"
"""Scheme of a URL with the percent-encoded path of a Unix socket, as in requests-unixsocket."""
UNSPECIFIED = ("0.0.0.0", "::")
"""Addresses that mean "all interfaces" to a server and "this machine" to a client."""
LOCALHOST = "http://localhost"
"""Base URL of requests over a Unix socket; HTTP requires a Host header there too."""
EXAMPLES = "Use http://HOST:PORT, https://HOST or unix:/path/to/socket."


@dataclass(frozen=True)
class Address:
    """The address of a service.

    Attributes:
        url: The base URL of its requests.
        socket: Path of the Unix socket, or None for TCP.
    """

    url: str
    socket: str | None = None

    def __str__(self) -> str:
        return self.url if self.socket is None else f"unix:{self.socket}"

    @property
    def is_local(self) -> bool:
        """True if the address is a Unix socket, a loopback address, 0.0.0.0 or ::."""
        host = urlsplit(self.url).hostname or ""
        return self.socket is not None or is_loopback(host) or host in UNSPECIFIED


def parse_address(text: str) -> Address:
    """Parses the address that a user gave; `HOST:PORT` without a scheme means `http://`.

    Raises:
        InvalidUsage: If it is neither an HTTP URL nor the path of a Unix socket.
    """
    for prefix in (*UNIX_PREFIXES, HTTP_UNIX):
        if text.startswith(prefix):
            path = text.removeprefix(prefix)
            path = unquote(path).rstrip("/") if prefix == HTTP_UNIX else path
            if not path:
                raise InvalidUsage(f"the address {text!r} names no socket", hint=EXAMPLES)
            return Address(LOCALHOST, socket=path)
    url = text if SCHEME.match(text) else f"http://{text}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidUsage(f"the address {text!r} is not valid: {error}", hint=EXAMPLES) from error
    if parts.scheme not in ("http", "https"):
        message = f"the address {text!r} has the scheme {parts.scheme}, not http or https"
        raise InvalidUsage(message, hint=EXAMPLES)
    if not parts.hostname or port == 0 or re.search(r"[\s\x00-\x20]", url):
        raise InvalidUsage(f"the address {text!r} names no host and port", hint=EXAMPLES)
    return Address(url.rstrip("/"))


def is_same_address(one: str, other: str) -> bool:
    """True if two addresses name the same server; False if one of them is not valid.

    Different forms of an address are the same, such as `host` and `http://host:80/`, and so are all
    names of the loopback interface. The function does not resolve other host names.
    """
    try:
        return _identity(parse_address(one)) == _identity(parse_address(other))
    except InvalidUsage:
        return False


def _identity(address: Address) -> tuple[str | int | None, ...]:
    if address.socket is not None:
        return ("unix", os.path.abspath(address.socket))
    parts = urlsplit(address.url)
    host = parts.hostname or ""
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return (parts.scheme, "localhost" if is_loopback(host) else host, port, parts.path)


def is_loopback(host: str) -> bool:
    """True for the names and addresses of the loopback interface."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback


def local_transport(address: Address) -> "httpx.HTTPTransport | None":
    """A transport that ignores proxies if the address is on this machine, else None."""
    import httpx2 as httpx

    return httpx.HTTPTransport(uds=address.socket) if address.is_local else None


def async_transport(address: Address) -> "httpx.AsyncHTTPTransport | None":
    """The same as `local_transport`, for asyncio."""
    import httpx2 as httpx

    return httpx.AsyncHTTPTransport(uds=address.socket) if address.is_local else None


@contextmanager
def proxy_errors(url: str) -> Iterator[None]:
    """Explains the error if httpx cannot use the proxy of an environment variable.

    Raises:
        InvalidUsage: If httpx raises ImportError or ValueError.
    """
    try:
        yield
    except (ImportError, ValueError) as error:
        variable, value = proxy_for(url) or ("the proxy setting", "")
        if isinstance(error, ImportError):
            raise InvalidUsage(
                f"{variable} is {value}, and SOCKS proxies need the package socksio",
                hint="pip install socksio, or list the host in NO_PROXY to connect directly.",
            ) from error
        raise InvalidUsage(
            f"{variable} is {value}, which is not a usable proxy: {error}",
            hint="Set it to http://HOST:PORT or unset it.",
        ) from error


def proxy_for(url: str) -> tuple[str, str] | None:
    """The environment variable that sets the proxy for `url`, and its value without the password.

    Follows httpx: the variable of the scheme first, then `ALL_PROXY`; `NO_PROXY` exempts hosts.
    """
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if Address(url).is_local or proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    for kind in (parts.scheme, "all"):
        if proxies.get(kind):
            name = next((n for n in os.environ if n.lower() == f"{kind}_proxy"), f"{kind}_proxy")
            scheme, separator, rest = proxies[kind].partition("://")
            return name, scheme + separator + rest.rpartition("@")[2]
    return None
