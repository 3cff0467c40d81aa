"""Mirrors in Quetz's words: its channels with an upstream, its actions that synchronize, its registry of who mirrors whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction

from channels_app.faces.entry import text_of
from channels_app.faces.quetz import actions, mirrors
from channels_app.models import Channel
from channels_app.selectors import lock
from channels_app.services.channels import update_channel
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission, Visibility, can, require
from condahub.audit.services import record as audit
from condahub.errors import Conflict, NotFound, Unprocessable
from condahub.jobs.models import Job
from mirrors_app.models import CredentialKind, Mirror, MirrorMode, RegisteredMirror
from mirrors_app.selectors import mirror_of
from mirrors_app.services import runs
from mirrors_app.services.mirrors import UpstreamSpec, create_mirror

PROXY, MIRROR = "proxy", "mirror"
# Quetz's mirrors have no list of platforms.
SUBDIRS = ("noarch", "linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64")
SYNCHRONIZE = ("synchronize", "synchronize_repodata")
MAX_REGISTERED = 200
MAX_ADDRESS_CHARS = 500


def register() -> None:
    """Called once, when the app is ready."""
    mirrors.register(QuetzMirrors())
    for name in SYNCHRONIZE:
        actions.register_action(name, synchronize)


def synchronize(actor: Actor, channel: Channel, run_after: datetime | None) -> Job:
    """The job that brings a mirror, or a proxy's index, to its upstream. Raises Conflict `no_mirror`, Forbidden."""
    mirror = mirror_of(channel)
    if mirror is None:
        raise Conflict(f"'{channel.name}' is not a mirror, so there is nothing to synchronize.", code="no_mirror")
    if mirror.mode != MirrorMode.LAZY:
        return runs.run_now(actor=actor, mirror=mirror, run_after=run_after)
    require(actor, Permission.MIRROR_SYNC, mirror)
    return runs.enqueue_refresh(mirror)


class QuetzMirrors:
    """`channels_app.faces.quetz.mirrors.Mirrors`."""

    def described(self, actor: Actor, channels: Iterable[Channel]) -> Mapping[int, tuple[str | None, str | None]]:
        rows = Mirror.objects.filter(channel__in=[one.pk for one in channels]).select_related("channel").prefetch_related("upstreams")
        found: dict[int, tuple[str | None, str | None]] = {}
        for mirror in rows.defer("lock"):
            upstream = next(iter(mirror.upstreams.all()), None)
            url = upstream.url if upstream is not None and can(actor, Permission.MIRROR_READ, mirror) else None
            found[mirror.channel_id] = (url, PROXY if mirror.mode == MirrorMode.LAZY else MIRROR)
        return found

    def create_channel(self, *, actor: Actor, organization: Organization, body: Mapping[str, Any]) -> Channel:
        """A proxy is a lazy mirror; a mirror is run at once, as Quetz does, unless `actions` leaves that out."""
        settings = _settings(body)
        wanted = body.get("actions")
        if wanted is not None and (not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted)):
            raise Unprocessable("'actions' must be a list of names.", code="bad_value")
        private = body.get("private", True)
        if not isinstance(private, bool):
            raise Unprocessable("'private' must be true or false.", code="bad_value")
        with transaction.atomic():
            mirror = create_mirror(
                actor=actor,
                organization=organization,
                name=text_of(body, "name"),
                upstreams=[_upstream(body)],
                settings=settings,
                visibility=Visibility.PRIVATE if private else Visibility.PUBLIC,
                description=text_of(body, "description", ""),
            )
            limit = body.get("size_limit")
            if limit not in (None, -1):
                if not isinstance(limit, int) or isinstance(limit, bool) or not 0 <= limit < 2**63:
                    raise Unprocessable("'size_limit' must be a whole number from 0.", code="bad_value")
                update_channel(actor=actor, channel=mirror.channel, changes={"quota_bytes": limit})
            if mirror.mode != MirrorMode.LAZY and (wanted is None or set(wanted) & set(SYNCHRONIZE)):
                runs.run_now(actor=actor, mirror=mirror)
        return mirror.channel

    def listed(self, *, actor: Actor, channel: Channel) -> list[dict[str, Any]]:
        require(actor, Permission.CHANNEL_READ, channel)
        return [_shaped(row) for row in RegisteredMirror.objects.filter(channel=channel)]

    def add(self, *, actor: Actor, channel: Channel, body: Mapping[str, Any]) -> dict[str, Any]:
        require(actor, Permission.CHANNEL_UPDATE, channel)
        url = _address(body, "url")
        with transaction.atomic():
            lock(channel)
            rows = RegisteredMirror.objects.filter(channel=channel)
            if rows.filter(url=url).exists():
                raise Conflict("This mirror is registered already.", code="mirror_exists")
            if rows.count() >= MAX_REGISTERED:
                raise Conflict(f"A channel has at most {MAX_REGISTERED} registered mirrors.", code="too_many_mirrors")
            made = RegisteredMirror.objects.create(
                channel=channel,
                url=url,
                api_endpoint=_address(body, "api_endpoint", required=False),
                metrics_endpoint=_address(body, "metrics_endpoint", required=False),
            )
            _audit(actor, channel, "channel.mirror_registered", url)
        return _shaped(made)

    def remove(self, *, actor: Actor, channel: Channel, mirror: str) -> None:
        require(actor, Permission.CHANNEL_UPDATE, channel)
        known = mirror.isascii() and mirror.isdigit() and len(mirror) < 19
        found = RegisteredMirror.objects.filter(channel=channel, pk=int(mirror)).first() if known else None
        if found is None:
            raise NotFound("No such mirror is registered.", code="no_such_mirror")
        with transaction.atomic():
            found.delete()
            _audit(actor, channel, "channel.mirror_removed", found.url)


def _upstream(body: Mapping[str, Any]) -> UpstreamSpec:
    url = text_of(body, "mirror_channel_url")
    key = text_of(body, "mirror_api_key", "")
    return UpstreamSpec(url=url, credential_kind=CredentialKind.API_KEY, secret=key) if key else UpstreamSpec(url=url)


def _settings(body: Mapping[str, Any]) -> dict[str, Any]:
    """Quetz's lists are of the beginnings of names."""
    mode = text_of(body, "mirror_mode", MIRROR)
    if mode not in (PROXY, MIRROR):
        raise Unprocessable(f"There is no mirror mode '{mode[:40]}'.", code="bad_value", hint=f"{PROXY} or {MIRROR}.")
    metadata = {} if body.get("metadata") is None else body["metadata"]
    if not isinstance(metadata, dict):
        raise Unprocessable("'metadata' must be an object.", code="bad_value")
    if metadata.get("proxylist"):
        raise Unprocessable(
            "A mirror here does not proxy single packages.",
            code="bad_value",
            hint="Make a second channel with the mode 'proxy', and a union.",
        )
    filters = {key: _beginnings(metadata, f"{key}list") for key in ("include", "exclude")}
    filters = {key: texts for key, texts in filters.items() if texts}
    kept = MirrorMode.FILTERED if filters else MirrorMode.FULL
    settings: dict[str, Any] = {"mode": str(MirrorMode.LAZY if mode == PROXY else kept), "subdirs": list(SUBDIRS)}
    return {**settings, "filters": filters} if filters else settings


def _beginnings(metadata: Mapping[str, Any], key: str) -> list[str]:
    value = metadata.get(key) or []
    if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
        raise Unprocessable(f"'{key}' must be a list of the beginnings of names.", code="bad_value")
    return [f"{one.strip().rstrip('*')}*" for one in value]


def _address(body: Mapping[str, Any], key: str, *, required: bool = True) -> str:
    """For people to see; the hub never connects to it."""
    text = text_of(body, key, None if required else "").strip()
    if not text and not required:
        return ""
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        good = False
    if not good or len(text) > MAX_ADDRESS_CHARS or not text.isprintable():
        raise Unprocessable(f"'{key}' must be an http or https address.", code="bad_value")
    return text


def _shaped(row: RegisteredMirror) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "url": row.url,
        "api_endpoint": row.api_endpoint or None,
        "metrics_endpoint": row.metrics_endpoint or None,
    }


def _audit(actor: Actor, channel: Channel, action: str, url: str) -> None:
    audit(actor=actor, action=action, target=f"channel:{channel.name}", organization_id=channel.organization_id, details={"url": url})
