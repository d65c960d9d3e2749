"""Sends a signed message to a webhook, to a checked address and within time limits.

The address is checked on the connection itself: the name is resolved once, and the connection goes
to the address that passed the check. Neither a second answer of the name server nor a redirect can
lead it elsewhere. Proxies from the environment are not used.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

import httpcore2
from httpcore2 import AnyIOBackend, AsyncNetworkBackend, AsyncNetworkStream

from jobs.outbox import Claim, Outcome

log = logging.getLogger(__name__)

TOTAL_SECONDS = 15.0
"""Maximum seconds to resolve the name, connect, send the message and receive the head of the
answer. The body of the answer is not read."""
CONNECT_SECONDS = 4.0
"""Maximum seconds to connect to one address, so that three addresses of a name are tried within
`TOTAL_SECONDS`."""
MAX_ERROR = 300
PACKAGE = "standardwebhooks"
Networks = Sequence[IPv4Network | IPv6Network]
NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
"""Networks of addresses that end with the 32 bits of an IPv4 address (RFC 6052, RFC 8215)."""
FAILURES = (
    *(OSError, UnicodeError, httpcore2.NetworkError, httpcore2.ProtocolError),
    *(httpcore2.TimeoutException, httpcore2.UnsupportedProtocol),
)


class AddressRefused(Exception):
    """The webhook leads to an address that the settings do not allow."""


def can_sign() -> bool:
    """Whether the package that signs messages is installed."""
    return find_spec(PACKAGE) is not None


def refusal(address: IPv4Address | IPv6Address, allowed: Networks, *, is_plain: bool) -> str | None:
    """The reason why no message may be sent to an address; None if it is allowed.

    Args:
        address: The address of the connection.
        allowed: Private networks that the settings allow.
        is_plain: Whether the URL is http, which is allowed only for the networks in `allowed`.
    """
    inner = _embedded(address)
    if any(each in network for each in (address, inner) for network in allowed):
        return None
    if not inner.is_global or inner.is_multicast or inner.is_reserved:
        return (
            f"{address} is not a public address; to allow it, add its network to "
            "BABYLM_WEBHOOK_NETWORKS"
        )
    if is_plain:
        return f"{address} is public: use https, or add its network to BABYLM_WEBHOOK_NETWORKS"
    return None


async def send(
    claim: Claim, allowed: Networks, moment: datetime, *, connect_seconds: float = CONNECT_SECONDS
) -> Outcome:
    """Makes one attempt to send a message. Does not raise an error, but returns it in the outcome.

    Args:
        claim: The delivery.
        allowed: Private networks that the settings allow.
        moment: The time in the signature.
        connect_seconds: Maximum seconds to connect to one address.
    """
    try:
        async with asyncio.timeout(TOTAL_SECONDS):
            return await _post(claim, allowed, moment, connect_seconds)
    except TimeoutError:
        return Outcome(None, f"no answer within {TOTAL_SECONDS:.0f} s")
    except AddressRefused as error:
        return Outcome(None, str(error))
    except FAILURES as error:
        return Outcome(None, _shown(error))
    except Exception as error:  # must not stop the other deliveries of the same pass
        log.exception("unexpected error while sending to webhook %s", claim.webhook_id)
        return Outcome(None, _shown(error))


async def _post(
    claim: Claim, allowed: Networks, moment: datetime, connect_seconds: float
) -> Outcome:
    is_plain = urlsplit(claim.url).scheme == "http"
    backend = _CheckedBackend(allowed, is_plain=is_plain, connect_seconds=connect_seconds)
    headers = [(b"Content-Type", b"application/json"), (b"Connection", b"close")]
    headers += [(k.encode(), v.encode()) for k, v in _signed(claim, moment).items()]
    async with (
        httpcore2.AsyncConnectionPool(
            ssl_context=None if is_plain else _tls(), network_backend=backend
        ) as pool,
        pool.stream("POST", claim.url, headers=headers, content=claim.body.encode()) as answer,
    ):
        error = None if 200 <= answer.status < 300 else f"the receiver answered {answer.status}"
        return Outcome(answer.status, error, _retry_after(answer.headers))


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_ERROR]


def _signed(claim: Claim, moment: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks."""
    signer = import_module(PACKAGE).Webhook(claim.secret)
    return {
        "User-Agent": f"babylm/{version('babylm-service')}",
        "webhook-id": claim.message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": signer.sign(claim.message_id, moment, claim.body),
    }


def _retry_after(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """The seconds of `Retry-After`; 0 if the header is missing or gives a date."""
    for name, value in headers:
        if name.lower() == b"retry-after" and value.isdigit() and len(value) < 9:
            return int(value)
    return 0


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address inside a mapped, 6to4 or NAT64 address; otherwise the address."""
    if isinstance(address, IPv4Address):
        return address
    if any(address in network for network in NAT64):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class _CheckedBackend(AsyncNetworkBackend):
    """Connects to addresses that pass `refusal`."""

    def __init__(self, allowed: Networks, *, is_plain: bool, connect_seconds: float) -> None:
        self._allowed, self._is_plain = allowed, is_plain
        self._connect_seconds = connect_seconds
        self._backend = AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        """Connects as the base class does; tries the allowed addresses of the host in order."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        reasons = {each: self._refusal(each) for each in addresses}
        open_to = [each for each in addresses if reasons[each] is None]
        if not open_to:
            raise AddressRefused("; ".join(filter(None, reasons.values())))
        seconds = self._connect_seconds if timeout is None else min(timeout, self._connect_seconds)
        for number, address in enumerate(open_to, 1):
            try:
                return await self._backend.connect_tcp(
                    address, port, seconds, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if number == len(open_to):
                    raise
        raise AssertionError("the last address returns or raises")

    def _refusal(self, address: str) -> str | None:
        bare = ip_address(address.partition("%")[0])
        return refusal(bare, self._allowed, is_plain=self._is_plain)
