"""Make, change, pause and end mirrors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from channels_app import selectors as channel_selectors
from channels_app.index.publish import publish_dirty
from channels_app.models import Channel, ChannelKind
from channels_app.services import channels
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission, Visibility, require
from condahub.audit.services import record as audit
from condahub.errors import Conflict, Forbidden
from condahub.packages.names import check_subdir
from mirrors_app.core.config import channel_address
from mirrors_app.core.credentials import Credentials, origin
from mirrors_app.core.errors import BadConfiguration
from mirrors_app.core.pace import Window
from mirrors_app.filling.rows import adopt
from mirrors_app.lazy import ending
from mirrors_app.models import CredentialKind, DeniedRule, Mirror, MirrorMode, RemovedRule, ReplacedRule, Upstream
from mirrors_app.services import configuring, filtering, runs, schedules

MAX_UPSTREAMS = 16
MAX_SUBDIRS = 40
MAX_LOCK_CHARS = 32 * 2**20
MAX_CA_BUNDLE_CHARS = 2**20
MAX_CONNECTIONS = 128
# The settings that may be given to create_mirror and update_mirror; `proxy` only by IT staff.
CHANGEABLE = frozenset(
    {
        "mode",
        "subdirs",
        "filters",
        "lock",
        "removed",
        "replaced",
        "denied",
        "shrink_share",
        "max_packages",
        "schedule",
        "time_zone",
        "windows",
    }
    | {"bytes_per_second", "connections", "proxy", "ca_bundle", "index_refresh_seconds", "negative_cache_seconds", "stale_after_seconds"}
)
_NUMBERS = {
    "max_packages": (0, 2**31 - 1),
    "bytes_per_second": (0, 2**53),
    "connections": (1, MAX_CONNECTIONS),
    "index_refresh_seconds": (1, 7 * 86400),
    "negative_cache_seconds": (0, 7 * 86400),
    "stale_after_seconds": (1, 30 * 86400),
}
_CHOICES = {"mode": MirrorMode, "removed": RemovedRule, "replaced": ReplacedRule, "denied": DeniedRule}


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSpec:
    """An upstream as somebody gives it. url: an address, or a channel's name on the public host; a token or password in it is taken
    out and sealed. secret None: the one that is kept already for an upstream of the same origin and kind.
    """

    url: str
    credential_kind: str = CredentialKind.NONE
    username: str = ""
    secret: str | None = field(default=None, repr=False)
    region: str = ""
    endpoint: str = ""


def create_mirror(
    *,
    actor: Actor,
    organization: Organization,
    name: str,
    upstreams: Sequence[UpstreamSpec],
    settings: Mapping[str, Any] | None = None,
    visibility: str = Visibility.PRIVATE,
    description: str = "",
) -> Mirror:
    """Make a channel that is filled from these upstreams. settings: of CHANGEABLE. Nothing is fetched until it is run.

    Raises Forbidden, Conflict `name_unavailable`, BadConfiguration (422), AddressRefused (422) for an address that the hub may not ask.
    """
    require(actor, Permission.MIRROR_CREATE, organization)
    values, rows = _checked(actor, settings or {}, upstreams, known=())
    with transaction.atomic():
        channel = channels.create_channel(
            actor=actor,
            organization=organization,
            name=name,
            visibility=visibility,
            kind=_kind(values.get("mode", MirrorMode.FULL)),
            description=description,
        )
        return _make(actor, channel, values, rows)


def mirror_channel(
    *, actor: Actor, channel: Channel, upstreams: Sequence[UpstreamSpec], settings: Mapping[str, Any] | None = None
) -> Mirror:
    """Make a mirror of a hosted channel that is there; what was uploaded to it stays, uploads end. Raises as `create_mirror`."""
    require(actor, Permission.MIRROR_CREATE, channel.organization)
    require(actor, Permission.CHANNEL_UPDATE, channel)
    values, rows = _checked(actor, settings or {}, upstreams, known=())
    with transaction.atomic():
        channel = channel_selectors.lock(channel)
        if channel.kind != ChannelKind.HOSTED or Mirror.objects.filter(channel=channel).exists():
            raise Conflict(
                f"'{channel.name}' is a {channel.kind} channel already.", code="not_hosted", hint="Only a hosted one can become one."
            )
        mirror = _make(actor, channel, values, rows)
        adopt(mirror)
        return mirror


def update_mirror(
    *, actor: Actor, mirror: Mirror, changes: Mapping[str, Any] | None = None, upstreams: Sequence[UpstreamSpec] | None = None
) -> Mirror:
    """Change settings (of CHANGEABLE), or put other upstreams in place of all. The next run goes by them. Raises as `create_mirror`."""
    require(actor, Permission.MIRROR_UPDATE, mirror)
    known = tuple(mirror.upstreams.all())
    lock_mode = (changes or {}).get("mode", mirror.mode) == MirrorMode.LOCK
    values = _values(actor, changes or {})
    rows = _upstream_rows(upstreams, known) if upstreams is not None else None
    with transaction.atomic():
        mirror = _locked(mirror)
        if mirror.mode == MirrorMode.LAZY != values.get("mode", mirror.mode):
            raise BadConfiguration(
                "A lazy mirror shows packages that it does not hold, so it stays lazy.",
                hint="Delete it, keep its packages, and make a mirror of the channel.",
            )
        for key, value in values.items():
            setattr(mirror, key, value)
        if rows is not None:
            mirror.upstreams.all().delete()
            _save_upstreams(mirror, rows)
        _check_whole(mirror, has_upstreams=bool(rows if rows is not None else known), lock_mode=lock_mode)
        mirror.next_run_at = schedules.plan_next(mirror)
        mirror.save()
        if "mode" in values:
            _set_kind(mirror.channel, _kind(mirror.mode))
        _audit(actor, "mirror.update", mirror, _told(changes or {}, rows))
        _ask_for_index(mirror)
    return mirror


def pause_mirror(*, actor: Actor, mirror: Mirror) -> Mirror:
    """No runs by the clock until it is resumed; one that goes on is not stopped (`runs.cancel_run`). Raises Forbidden."""
    return _set_paused(actor, mirror, paused=True)


def resume_mirror(*, actor: Actor, mirror: Mirror) -> Mirror:
    """Raises Forbidden."""
    return _set_paused(actor, mirror, paused=False)


def delete_mirror(*, actor: Actor, mirror: Mirror, keep_packages: bool) -> None:
    """End a mirror. keep_packages: the channel stays with what it has, as a hosted one; else it is deleted (with its grace period).

    Raises Forbidden. A run that goes on is cancelled, and publishes nothing any more.
    """
    require(actor, Permission.MIRROR_DELETE, mirror)
    if not keep_packages:
        require(actor, Permission.CHANNEL_DELETE, mirror.channel)
    with transaction.atomic():
        mirror = _locked(mirror)
        channel = mirror.channel
        runs.cancel_all(mirror, actor=actor)
        _audit(actor, "mirror.delete", mirror, {"keep_packages": keep_packages})
        was_lazy = mirror.mode == MirrorMode.LAZY
        if keep_packages:
            mirror.delete()
            _set_kind(channel, ChannelKind.HOSTED)
        else:
            # The mirror waits out the grace period with its channel.
            Mirror.objects.filter(pk=mirror.pk).update(paused=True, next_run_at=None)
            channels.delete_channel(actor=actor, channel=channel)
    if keep_packages and was_lazy:
        # After it: a large channel is not held for so long.
        ending.drop_unfetched(channel)
        publish_dirty(channel.pk, waiting=True)


def _set_paused(actor: Actor, mirror: Mirror, *, paused: bool) -> Mirror:
    require(actor, Permission.MIRROR_UPDATE, mirror)
    with transaction.atomic():
        mirror = _locked(mirror)
        if mirror.paused != paused:
            mirror.paused = paused
            mirror.next_run_at = schedules.plan_next(mirror)
            mirror.save(update_fields=["paused", "next_run_at"])
            _audit(actor, "mirror.pause" if paused else "mirror.resume", mirror, {})
    return mirror


def _locked(mirror: Mirror) -> Mirror:
    """With its channel's row taken. Raises Forbidden when it ended meanwhile."""
    channel_selectors.lock(mirror.channel)
    found = Mirror.objects.select_related("channel__organization").filter(pk=mirror.pk).first()
    if found is None:
        raise Forbidden()
    return found


def _make(actor: Actor, channel: Channel, values: dict[str, Any], rows: list[Upstream]) -> Mirror:
    mirror = Mirror(channel=channel, created_by=actor.label, **values)
    _check_whole(mirror, has_upstreams=bool(rows), lock_mode=mirror.mode == MirrorMode.LOCK)
    mirror.next_run_at = schedules.plan_next(mirror)
    mirror.save(force_insert=True)
    _save_upstreams(mirror, rows)
    _set_kind(channel, _kind(mirror.mode))
    _audit(actor, "mirror.create", mirror, _told(values, rows))
    _ask_for_index(mirror)
    return mirror


def _ask_for_index(mirror: Mirror) -> None:
    """A proxy's index comes before anybody asks for it, and anew by other settings."""
    if mirror.mode == MirrorMode.LAZY and not mirror.paused:
        runs.enqueue_refresh(mirror)


def _kind(mode: str) -> str:
    return ChannelKind.PROXY if mode == MirrorMode.LAZY else ChannelKind.MIRROR


def _set_kind(channel: Channel, kind: str) -> None:
    if channel.kind != kind:
        channel.kind = kind
        Channel.objects.filter(pk=channel.pk).update(kind=kind)
        channel_selectors.bump(channel)


def _save_upstreams(mirror: Mirror, rows: Sequence[Upstream]) -> None:
    for position, row in enumerate(rows):
        row.mirror, row.position = mirror, position
    Upstream.objects.bulk_create(rows)


def _checked(
    actor: Actor, settings: Mapping[str, Any], upstreams: Sequence[UpstreamSpec], known: Sequence[Upstream]
) -> tuple[dict[str, Any], list[Upstream]]:
    return _values(actor, settings), _upstream_rows(upstreams, known)


def _check_whole(mirror: Mirror, *, has_upstreams: bool, lock_mode: bool) -> None:
    if lock_mode and not mirror.lock:
        raise BadConfiguration("A mirror of the mode 'lock' needs a lock file.", hint="Give the text of a pixi.lock as 'lock'.")
    if not lock_mode and not has_upstreams:
        raise BadConfiguration("No upstream is named.", hint="Give at least one address.")
    if not lock_mode and not mirror.subdirs:
        raise BadConfiguration("No subdir is named.", hint="Name at least one, for example linux-64 and noarch.")
    if mirror.mode == MirrorMode.FULL and mirror.filters:
        raise BadConfiguration("A mirror of the mode 'full' takes all.", hint="Give the mode 'filtered', or no filters.")
    schedules.check_schedule(mirror.schedule, mirror.time_zone)
    for text in mirror.windows:
        Window.parse(text, mirror.time_zone)


def _values(actor: Actor, given: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(str(key)[:40] for key in given.keys() - CHANGEABLE)
    if unknown:
        raise BadConfiguration(f"A mirror has no setting {', '.join(unknown)}.", hint=f"Settings: {', '.join(sorted(CHANGEABLE))}.")
    values = {key: _value(key, value) for key, value in given.items() if key != "proxy"}
    if "proxy" in given:
        if given["proxy"] and not actor.is_staff:
            # A proxy connects to wherever it is told: the guard can't see past it.
            raise Forbidden("Only IT staff give a mirror a proxy.", hint="CONDAHUB_MIRROR_PROXY is the one of all mirrors.")
        values["sealed_proxy"] = configuring.sealed(_text("proxy", given["proxy"], 2000))
    return values


def _value(key: str, value: Any) -> Any:
    if key in _NUMBERS:
        low, high = _NUMBERS[key]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise BadConfiguration(f"'{key}' is a whole number from {low} to {high}.")
        return value
    if key in _CHOICES:
        if value not in _CHOICES[key].values:
            raise BadConfiguration(f"'{key}' can't be '{str(value)[:40]}'.", hint=f"One of {', '.join(_CHOICES[key].values)}.")
        return value
    if key == "shrink_share":
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise BadConfiguration("'shrink_share' is a number from 0 to 1.", hint="0.5: an index that loses more than half is held.")
        return float(value)
    if key == "filters":
        return filtering.as_json(filtering.read_filters(value))
    if key == "subdirs":
        return _subdirs(value)
    if key == "windows":
        return [_text("windows", one, 11) for one in _list("windows", value, 24)]
    if key == "lock":
        text = _text(key, value, MAX_LOCK_CHARS)
        if text:
            configuring.read_lock_text(text)
        return text
    return _text(key, value, {"ca_bundle": MAX_CA_BUNDLE_CHARS, "schedule": 100}.get(key, 64)).strip()


def _list(key: str, value: Any, most: int) -> list[Any]:
    if not isinstance(value, list | tuple) or len(value) > most:
        raise BadConfiguration(f"'{key}' is a list of at most {most} texts.")
    return list(value)


def _text(key: str, value: Any, most_chars: int) -> str:
    if not isinstance(value, str) or len(value) > most_chars or "\x00" in value:
        raise BadConfiguration(f"'{key}' is a text of at most {most_chars} characters.")
    return value


def _subdirs(value: Any) -> list[str]:
    found = list(dict.fromkeys(_text("subdirs", one, 64) for one in _list("subdirs", value, MAX_SUBDIRS)))
    for subdir in found:
        check_subdir(subdir)
    return found


def _upstream_rows(specs: Sequence[UpstreamSpec], known: Sequence[Upstream]) -> list[Upstream]:
    if len(specs) > MAX_UPSTREAMS:
        raise BadConfiguration(f"A mirror has at most {MAX_UPSTREAMS} upstreams.")
    return [_upstream_row(spec, known) for spec in specs]


def _upstream_row(spec: UpstreamSpec, known: Sequence[Upstream]) -> Upstream:
    """Raises BadConfiguration, AddressRefused."""
    if spec.credential_kind not in CredentialKind.values:
        raise BadConfiguration(
            f"There are no credentials of the kind '{spec.credential_kind[:40]}'.", hint=f"One of {', '.join(CredentialKind.values)}."
        )
    given = Credentials(kind=spec.credential_kind, username=spec.username, secret=spec.secret or "")  # type: ignore[arg-type]
    url, found = channel_address(_text("url", spec.url, 2000), given, local=bool(configuring.local_folders()))
    configuring.check_address(url, endpoint=spec.endpoint)
    sealed = configuring.sealed(found.secret)
    if spec.secret is None and not sealed and found.kind != "none":
        sealed = next((one.sealed_secret for one in known if one.credential_kind == found.kind and origin(one.url) == origin(url)), "")
    if found.kind not in ("none", "s3") and not sealed:
        raise BadConfiguration(f"The credentials of the kind '{found.kind}' have no secret.", hint="Give 'secret'.")
    return Upstream(
        url=url,
        credential_kind=found.kind,
        username=_text("username", found.username, 200),
        sealed_secret=sealed,
        region=_text("region", spec.region, 64),
        endpoint=_text("endpoint", spec.endpoint, 500),
    )


def _told(values: Mapping[str, Any], rows: Sequence[Upstream] | None) -> dict[str, Any]:
    """For the audit: no secrets, and no texts of megabytes."""
    told = {key: values[key] for key in values if key not in ("lock", "ca_bundle", "proxy", "sealed_proxy")}
    told |= {key: "changed" for key in ("lock", "ca_bundle", "proxy", "sealed_proxy") if key in values}
    if rows is not None:
        told["upstreams"] = [{"url": row.url, "credentials": str(row.credential_kind)} for row in rows]
    return told


def _audit(actor: Actor, action: str, mirror: Mirror, details: dict[str, Any]) -> None:
    channel = mirror.channel
    audit(
        actor=actor,
        action=action,
        target=f"channel:{channel.name}",
        organization_id=channel.organization_id,
        details=details,
    )
