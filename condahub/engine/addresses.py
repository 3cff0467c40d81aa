"""How channels are called inside a child: by canonical addresses without a host of ours, which a client turns into the real ones.

What is cached under a canonical address stays right when the hub moves, listens on another port or has more nodes; and no
address of the hub's inside gets into a lock, a prefix or an explanation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from rattler import Client
from rattler.networking import AddHeadersMiddleware, MirrorMiddleware, RetryMiddleware

from condahub.engine.protocol import Channel
from condahub.engine.records import CondaRecord

# RFC 6761 reserves the name: it can't be looked up.
CANONICAL = "https://hub.invalid/channels/"
MAX_RETRIES = 3
REQUEST_TIMEOUT_SECONDS = 120
HIDDEN = "***"


class Addresses:
    """The channels of one request, under canonical addresses: at their revision for solving, without it for packages."""

    def __init__(self, channels: Sequence[Channel], token: str) -> None:
        self.channels = channels
        self._token = token
        self._by_index = {self.index(channel): channel for channel in channels}
        self._by_name = {channel.name: channel for channel in channels}

    @staticmethod
    def index(channel: Channel) -> str:
        """The canonical address of the channel's index, which says the revision."""
        at = "" if channel.revision is None else f"@{channel.revision}"
        return f"{CANONICAL}{channel.name}{at}/"

    @staticmethod
    def package(record: CondaRecord) -> str:
        """The canonical address of a package, the same at every revision."""
        return f"{CANONICAL}{record.channel}/{record.subdir}/{record.filename}"

    def channel_at(self, address: str) -> Channel | None:
        """The channel whose index a solver's record came from; None if it is none of the request's."""
        return self._by_index.get(address.rstrip("/") + "/")

    def public_address(self, record: CondaRecord) -> tuple[str, str]:
        """(channel, package): where the record says it came from when it lies in a prefix."""
        channel = self._by_name[record.channel]
        base = (channel.public_address or channel.address).rstrip("/")
        return base, f"{base}/{record.subdir}/{record.filename}"

    def client(self) -> Client:
        """A client that goes to the real addresses, and shows the token to the hosts of the channels alone."""
        mirrors: dict[str, list[str]] = {}
        for channel in self.channels:
            real = channel.address.rstrip("/") + ("" if channel.revision is None else f"@{channel.revision}") + "/"
            mirrors[self.index(channel)] = [real]
            mirrors[f"{CANONICAL}{channel.name}/"] = [real]
        return Client(
            [RetryMiddleware(MAX_RETRIES), MirrorMiddleware(mirrors), AddHeadersMiddleware(self._headers())],
            timeout=REQUEST_TIMEOUT_SECONDS,
        )

    def _headers(self) -> Callable[[str, str], dict[str, str] | None]:
        # The callback is not told the port: the path has to be a channel's too, so another service of the host gets nothing.
        allowed = {(channel.host, urlsplit(channel.address).path.rstrip("/")) for channel in self.channels}
        token = self._token

        def headers(host: str, path: str) -> dict[str, str] | None:
            if token and any(host == known and path.startswith((f"{base}/", f"{base}@")) for known, base in allowed):
                return {"Authorization": f"Bearer {token}"}
            return None

        return headers

    def scrub(self, text: str) -> str:
        """The text without the token, and with channels called by name rather than address."""
        if self._token:
            text = text.replace(self._token, HIDDEN)
        for channel in self.channels:
            real = channel.address.rstrip("/")
            text = text.replace(real, channel.name)
        return text.replace(CANONICAL, "")
