"""Ask a mirror's upstreams now whether they answer, with its own credentials, proxy and trust; nothing is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from condahub.accounts.policy import Actor
from condahub.errors import HubError, NotFound, Unavailable
from mirrors_app.core.errors import UpstreamDenied, UpstreamMissing, UpstreamTooLarge
from mirrors_app.core.fetch import Fetcher
from mirrors_app.models import Mirror
from mirrors_app.services.configuring import credentials_by_url, fetch_settings

# Of these one is there wherever there is a channel; the small ones first.
INDEX_NAMES = ("repodata_shards.msgpack.zst", "current_repodata.json", "repodata.json.zst", "repodata.json")
PEEK_BYTES = 64 * 1024
CONNECT_SECONDS = 5.0
ASK_SECONDS = 20
MAX_CHOICES = 500


def choices() -> Iterable[tuple[str, str]]:
    mirrors = Mirror.objects.existing().order_by("channel__name")
    return [(str(pk), name) for pk, name in mirrors.values_list("pk", "channel__name")[:MAX_CHOICES]]


def ask(actor: Actor, choice: str) -> str:
    """A sentence on each upstream of that mirror. Raises NotFound, Unavailable naming the first that does not answer."""
    mirror = Mirror.objects.existing().select_related("channel").filter(pk=int(choice) if choice.isdigit() else 0).first()
    if mirror is None:
        raise NotFound("There is no such mirror.", hint="Choose one.")
    subdir = (mirror.subdirs or ["noarch"])[0]
    urls = [one.url for one in mirror.upstreams.all()]
    if not urls:
        raise NotFound("It has no upstream.", hint="Its packages come from a lock file or a bundle.")
    with fetch_settings(mirror) as settings:
        return asyncio.run(
            _ask_all(replace(settings, windows=(), attempts=1, connect_seconds=CONNECT_SECONDS), credentials_by_url(mirror), urls, subdir)
        )


async def _ask_all(settings: Any, credentials: Any, urls: list[str], subdir: str) -> str:
    told = []
    async with Fetcher(settings, credentials) as fetcher:
        for url in urls:
            try:
                told.append(await asyncio.wait_for(_ask_one(fetcher, url, subdir), ASK_SECONDS))
            except TimeoutError:
                raise Unavailable(f"{url} does not answer within {ASK_SECONDS} s.", hint="Is it up, and may the hub reach it?") from None
    return " ".join(told)


async def _ask_one(fetcher: Fetcher, url: str, subdir: str) -> str:
    for name in INDEX_NAMES:
        try:
            await fetcher.read(f"{url}{subdir}/{name}", max_bytes=PEEK_BYTES)
        except UpstreamMissing:
            continue
        except UpstreamDenied:
            # A bucket says 403 of what it does not have to those who may not list it.
            if not url.startswith("s3:"):
                raise
            continue
        except UpstreamTooLarge:
            # It began to give it, and that is what was asked.
            pass
        return f"{url} answers with {subdir}/{name}."
    raise HubError(f"{url} answers, and has no index of {subdir}.", code="no_index", hint="Is it a conda channel?", status=502)
