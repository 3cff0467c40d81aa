"""What one mirror is told to do: from where, which packages, how fast, and what to do when the upstream takes something back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from condahub.engine.lockfiles import LockedPackage
from condahub.errors import HubError
from condahub.packages.names import check_subdir
from mirrors_app.core.credentials import Credentials, split_credentials
from mirrors_app.core.errors import BadConfiguration
from mirrors_app.core.fetch import FetchSettings
from mirrors_app.core.filters import Filters
from mirrors_app.core.records import UpstreamRecord

PUBLIC_HOST = "https://conda.anaconda.org"
SCHEMES = ("http", "https", "file", "s3")
DEFAULT_SHRINK_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorConfig:
    """upstreams: addresses of one and the same channel, ending in '/', asked in this order; each may be none in lock mode.

    removed: what is done with packages that the upstream has no more, or that the filters would not take now; replaced: when a file
    name comes with other bytes, `hold` goes on showing the old ones and keeps the new ones aside, `follow` shows the new ones and
    keeps the old ones aside; both are told. shrink_share: an index that loses more than this share of its records is held.
    approved: sha256 of indexes that may be followed though they are held (`missing:<subdir>` for one that is gone).
    lock: exactly these packages. max_packages: at most so many are fetched in a run; 0: all. shows_v3: whether the target has a place
    for records of the section v3 (CEP-48), which older clients must not see among the others. denied: of new records, those that the
    target would show to nobody, with the reason: they are not fetched; asked in the target's thread. rules: changes when it may say
    otherwise.
    """

    upstreams: tuple[str, ...]
    subdirs: tuple[str, ...]
    credentials: Mapping[str, Credentials] = field(default_factory=dict, repr=False)
    filters: Filters = field(default_factory=Filters)
    lock: tuple[LockedPackage, ...] | None = None
    removed: Literal["keep", "drop"] = "keep"
    replaced: Literal["hold", "follow"] = "hold"
    shrink_share: float = DEFAULT_SHRINK_SHARE
    approved: frozenset[str] = frozenset()
    fetch: FetchSettings = field(default_factory=FetchSettings)
    max_packages: int = 0
    shows_v3: bool = True
    denied: Callable[[Sequence[UpstreamRecord]], Mapping[tuple[str, str], str]] | None = None
    rules: str = ""

    def __post_init__(self) -> None:
        for url in self.upstreams:
            parts = urlsplit(url)
            if parts.scheme not in SCHEMES or not url.endswith("/") or (parts.scheme != "file" and not parts.hostname):
                raise BadConfiguration(f"'{url[:120]}' is not the address of a channel.", hint=f"It begins with {', '.join(SCHEMES)}.")
        for subdir in self.subdirs:
            try:
                check_subdir(subdir)
            except HubError as error:
                raise BadConfiguration(error.detail, hint=error.hint) from error
        if not self.subdirs and self.lock is None:
            raise BadConfiguration("No subdir is named.", hint="Name at least one, for example linux-64 and noarch.")
        if not self.upstreams and self.lock is None:
            raise BadConfiguration("No upstream is named.")

    def decided_by(self) -> str:
        """Changes when a run with the same upstream would decide otherwise."""
        return f"{self.filters.fingerprint()} {self.removed} {self.replaced} {self.rules}".rstrip()


def channel_address(text: str, given: Credentials | None = None, *, local: bool = False) -> tuple[str, Credentials]:
    """A channel's name on the public host, or its URL -> (address ending in '/', credentials found in it).

    local: a path or file: address may be meant, as on a person's own machine. Raises BadConfiguration.
    """
    text = text.strip()
    if "://" not in text:
        if text.startswith(("/", "./", "../", "~")) and local:
            text = Path(text).expanduser().resolve().as_uri()
        elif text and not text.startswith(("/", ".", "~")):
            text = f"{PUBLIC_HOST}/{text.strip('/')}"
    try:
        parts = urlsplit(text)
    except ValueError:
        # Not told again: it may hold a password.
        raise BadConfiguration("This is not the address of a channel.", hint="Write it as https://host/channel.") from None
    allowed = SCHEMES if local else tuple(one for one in SCHEMES if one != "file")
    if parts.scheme not in allowed:
        raise BadConfiguration(f"'{parts.scheme[:40]}:' begins no address of a channel.", hint=f"It begins with {', '.join(allowed)}.")
    address, credentials = split_credentials(urlunsplit(parts._replace(query="", fragment="")), given or Credentials())
    return address.rstrip("/") + "/", credentials
