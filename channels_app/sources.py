"""Who answers for what a channel does not hold yet: the interface to a proxy's upstream, so that no door needs to know of one."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from condahub.errors import Unavailable

STALE_HEADER = "X-Condahub-Stale"
NOT_READY_SECONDS = 5


class Wanted(NamedTuple):
    """A file that a channel's index shows and whose bytes are not here. sha256 '' and size 0: not known yet."""

    channel_id: int
    file_id: int
    subdir: str
    filename: str
    sha256: str
    size: int


class Standing(NamedTuple):
    """is_ready: there was an index once; stale_seconds: how long ago it was last in step, where it is served though it should be newer."""

    is_ready: bool = True
    stale_seconds: int | None = None


class CutShort(ConnectionResetError):
    """The rest of a body can't be given: the connection ends before its Content-Length, and so the client knows."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.ECONNRESET, reason)


class Fetch(Protocol):
    """A file on its way here, for one of those who wait for it."""

    def wait(self) -> bool:
        """Return when the first bytes may be given out (True), or when all of the file is in the store (False).

        Raises HubError, as whoever asks is to be told. The calling thread keeps nothing else meanwhile, no database connection either.
        """
        ...

    def pieces(self, start: int, length: int) -> Iterator[bytes]:
        """These bytes as they come, after `wait` gave True. Raises CutShort, before the last of them, when they are not what was wanted."""
        ...


class Source(Protocol):
    """Both of it return at once."""

    def fetch(self, wanted: Wanted) -> Fetch:
        """Begin to bring the file here; however many ask, it is fetched once, and goes on when all of them have left."""
        ...

    def standing(self, channel_id: int) -> Standing:
        """How new the channel's index is; asks for a refresh where one is due."""
        ...


_sources: dict[str, Source] = {}


def register(kind: str, source: Source) -> None:
    """The source of channels of this kind (`ChannelKind`), from the app that knows it; called when Django is ready."""
    if _sources.setdefault(kind, source) is not source:
        raise ValueError(f"Channels of the kind '{kind}' have a source already.")


def of_kind(kind: str) -> Source | None:
    """None for channels that hold all they show."""
    return _sources.get(kind)


def stale_headers(source: Source, channel_id: int) -> dict[str, str]:
    """What is said with an index that should be newer (RFC 9111 section 5.5), and nothing with one that is in step.

    Raises Unavailable while there has been no index at all.
    """
    standing = source.standing(channel_id)
    if not standing.is_ready:
        raise Unavailable(
            "This channel's index has not come from its upstream yet.",
            code="index_not_ready",
            hint="Try again.",
            retry_after_seconds=NOT_READY_SECONDS,
        )
    if standing.stale_seconds is None:
        return {}
    return {STALE_HEADER: str(standing.stale_seconds), "Warning": '110 condahub "Response is Stale"'}
