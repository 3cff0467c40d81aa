"""From a mirror's rows to what the sync core is told: addresses, credentials, limits, and where the hub may connect to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.utils import timezone

from condahub.engine.lockfiles import LockedPackage, read_lock
from condahub.net.guard import Guard, check_url
from condahub.vault import seal, unseal
from mirrors_app.core.config import MirrorConfig
from mirrors_app.core.credentials import DEFAULT_REGION, Credentials
from mirrors_app.core.errors import BadConfiguration
from mirrors_app.core.fetch import FetchSettings
from mirrors_app.core.pace import Window
from mirrors_app.models import DeniedRule, Mirror, MirrorMode, Upstream
from mirrors_app.services.denying import denied_now
from mirrors_app.services.filtering import read_filters

PURPOSE = "mirror"


def sealed(secret: str) -> str:
    return seal(secret, purpose=PURPOSE) if secret else ""


def unsealed(text: str) -> str:
    """Raises Unsealable."""
    return unseal(text, purpose=PURPOSE) if text else ""


def guard() -> Guard:
    """Where upstreams may lie besides public addresses."""
    return Guard.parse(settings.CONDAHUB_PRIVATE_NETWORKS_ALLOWED)


def local_folders() -> tuple[Path, ...]:
    """Folders of this machine that may be upstreams (`file:`)."""
    return tuple(Path(text) for text in settings.CONDAHUB_MIRROR_LOCAL_FOLDERS)


def credentials_of(upstream: Upstream) -> Credentials:
    """Raises Unsealable."""
    return Credentials(
        kind=upstream.credential_kind,  # type: ignore[arg-type]  # the choices are its kinds
        username=upstream.username,
        secret=unsealed(upstream.sealed_secret),
        region=upstream.region or DEFAULT_REGION,
        endpoint=upstream.endpoint,
    )


def credentials_by_url(mirror: Mirror) -> dict[str, Credentials]:
    """By address; of those that need some, and of all in S3 (which need a region at least)."""
    return {one.url: credentials_of(one) for one in mirror.upstreams.all() if one.credential_kind != "none" or one.url.startswith("s3:")}


@contextmanager
def fetch_settings(mirror: Mirror) -> Iterator[FetchSettings]:
    """Limits, proxy and trust of one run; the bundle of certificates is a file as long as the context lasts. Raises Unsealable."""
    with tempfile.TemporaryDirectory(prefix="condahub-mirror-") as folder:
        bundle = None
        if mirror.ca_bundle:
            bundle = Path(folder) / "ca.pem"
            bundle.write_text(mirror.ca_bundle)
        yield FetchSettings(
            connections_per_host=mirror.connections,
            bytes_per_second=mirror.bytes_per_second,
            windows=tuple(Window.parse(text, mirror.time_zone) for text in mirror.windows),
            proxy=unsealed(mirror.sealed_proxy) or settings.CONDAHUB_MIRROR_PROXY,
            ca_bundle=bundle,
            guard=guard(),
            local_folders=local_folders(),
        )


@contextmanager
def core_config(mirror: Mirror, *, instead: Mapping[str, Any] | None = None) -> Iterator[MirrorConfig]:
    """All that a run is told. instead: filters to try. Raises BadConfiguration, Unsealable."""
    leaves = mirror.denied == DeniedRule.LEAVE
    with fetch_settings(mirror) as fetch:
        yield MirrorConfig(
            upstreams=tuple(one.url for one in mirror.upstreams.all()),
            subdirs=tuple(mirror.subdirs),
            credentials=credentials_by_url(mirror),
            filters=replace(read_filters(mirror.filters if instead is None else instead), admitted=admitted_now(mirror)),
            lock=read_lock_text(mirror.lock) if mirror.mode == MirrorMode.LOCK else None,
            removed=mirror.removed,  # type: ignore[arg-type]  # the choices are its words
            replaced=mirror.replaced,  # type: ignore[arg-type]
            shrink_share=mirror.shrink_share,
            approved=frozenset(mirror.approved),
            fetch=fetch,
            max_packages=mirror.max_packages,
            shows_v3=False,
            denied=partial(denied_now, mirror) if leaves else None,
            rules=f"policy {mirror.channel.policy_edit}" if leaves else "",
        )


def admitted_now(mirror: Mirror) -> tuple[str, ...]:
    """The specs of approved requests that have not run out."""
    now = timezone.now()
    return tuple(dict.fromkeys(one["spec"] for one in mirror.admitted if datetime.fromisoformat(one["until"]) > now))


def read_lock_text(text: str) -> tuple[LockedPackage, ...]:
    """The conda packages of a lock. Raises Unprocessable for what is no lock file."""
    with tempfile.TemporaryDirectory(prefix="condahub-lock-") as folder:
        # The reader tells the formats apart by the content; both names end in what it expects.
        path = Path(folder) / ("pixi.lock" if "\npackages:" in text or text.startswith("packages:") else "conda-lock.yml")
        path.write_text(text, encoding="utf-8")
        return tuple(read_lock(path))


def check_address(url: str, *, endpoint: str = "") -> None:
    """At the door: where an upstream leads now; asked again at each connection. Raises AddressRefused, BadConfiguration."""
    allowed = guard()
    if url.startswith("file:"):
        path = Path(unquote(urlsplit(url).path)).resolve()
        if not any(path.is_relative_to(folder.resolve()) for folder in local_folders()):
            raise BadConfiguration("This folder is none that mirrors may read.", hint="IT lists them in CONDAHUB_MIRROR_LOCAL_FOLDERS.")
        return
    if url.startswith("s3:"):
        if endpoint:
            check_url(endpoint, allowed)
        return
    check_url(url, allowed)
