"""Settings of environments at three levels: what may be asked for, what is added, and the limits; written and merged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from condahub.accounts.models import Organization
from condahub.accounts.policy import HUB, Actor, Permission, require
from condahub.audit.services import record as audit
from condahub.engine.protocol import ChannelPriority
from condahub.errors import Unprocessable
from condahub.jobs import clock
from environments_app.models import ArtifactKind, Environment, EnvironmentSettings, Rebuild
from environments_app.services import sandboxes
from environments_app.spec.conda import PLATFORMS, check_channel, check_match_spec

MAX_ENTRIES = 200
MAX_LIMIT = 2**53

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Merged:
    """What holds for one environment. None among `allowed_…` and limits: no bound."""

    default_channels: tuple[str, ...] = ()
    allowed_channels: frozenset[str] | None = None
    required_channels: tuple[str, ...] = ()
    default_packages: tuple[str, ...] = ()
    included_packages: tuple[str, ...] = ()
    required_packages: tuple[str, ...] = ()
    default_platforms: tuple[str, ...] = ("linux-64",)
    allowed_platforms: frozenset[str] | None = None
    virtual_packages: Mapping[str, str] = field(default_factory=dict)
    channel_priority: ChannelPriority = "strict"
    artifacts: tuple[str, ...] = ()
    pip_allowed: bool = True
    link_scripts_allowed: bool = False
    sdists_allowed: bool = False
    pip_index: str = ""
    allowed_pip_indexes: frozenset[str] | None = None
    solve_seconds: int | None = None
    build_seconds: int | None = None
    memory_bytes: int | None = None
    environment_bytes: int | None = None
    concurrent_builds: int | None = None
    retention_keep_last: int | None = None
    retention_days: int | None = None
    retention_then: str = "archive"
    rebuild: str = "never"
    rebuild_cron: str = ""
    rebuild_time_zone: str = "UTC"

    def as_dict(self) -> dict[str, Any]:
        """For answers: sets as sorted lists."""
        return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in vars(self).items()}


# Told, in the transaction of a change, of where it was and of what was changed.
Reaction = Callable[[Organization | Environment | None, Values], None]
_reactions: list[Reaction] = []


def on_change(react: Reaction) -> None:
    """Have what follows from settings brought up to date when they change; from `AppConfig.ready`."""
    if react not in _reactions:
        _reactions.append(react)


Check = Callable[[Any], Any]
Join = Callable[[Sequence[Any]], Any]


@dataclass(frozen=True)
class _Setting:
    """How a value is checked, and how those of several levels, the widest first, make one."""

    check: Check
    join: Join


def _refuse(detail: str, hint: str = "") -> Unprocessable:
    return Unprocessable(detail, code="bad_setting", hint=hint)


def _text(check: Callable[[str], str]) -> Check:
    def checked(value: Any) -> str:
        if not isinstance(value, str):
            raise _refuse("A text is expected.")
        return check(value)

    return checked


def _list_of(check: Callable[[str], str]) -> Check:
    def checked(value: Any) -> list[str]:
        if not isinstance(value, list) or len(value) > MAX_ENTRIES or not all(isinstance(one, str) for one in value):
            raise _refuse("A list of texts is expected.", f"At most {MAX_ENTRIES}.")
        return list(dict.fromkeys(check(one) for one in value))

    return checked


def _channel(text: str) -> str:
    name, problem = check_channel(text, 0, django_settings.CONDAHUB_PUBLIC_URL)
    if problem is not None:
        raise _refuse(problem.detail, problem.hint)
    return name


def _package(text: str) -> str:
    _, problem = check_match_spec(text, 0)
    if problem is not None:
        raise _refuse(problem.detail, problem.hint)
    return text


def _one_of(choices: Iterable[str]) -> Callable[[str], str]:
    known = tuple(choices)

    def checked(text: str) -> str:
        if text not in known:
            raise _refuse(f"'{text[:40]}' is not known.", f"One of {', '.join(known)}.")
        return text

    return checked


def _index(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise _refuse("An index is named by its http(s) address, without a password.")
    return text.rstrip("/")


def _virtual(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > MAX_ENTRIES:
        raise _refuse("Virtual packages are names with versions.", 'For instance {"__cuda": "12.4"}.')
    for name, version in value.items():
        # Checked as the pair that it is: "__cuda 12.4".
        if not name.startswith("__") or not isinstance(version, str) or check_match_spec(f"{name} {version}", 0)[1] is not None:
            raise _refuse(f"'{name[:40]}' is no virtual package with a version.", 'For instance {"__cuda": "12.4"}.')
    return dict(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refuse("True or false is expected.")
    return value


def _limit(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_LIMIT:
        raise _refuse("A whole number from 1 is expected.")
    return value


def _cron(text: str) -> str:
    clock.next_time(text, "UTC", after=timezone.now())
    return text


def _zone(text: str) -> str:
    clock.zone(text)
    return text


def _nearest(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(values[-1])


def _last(values: Sequence[Any]) -> Any:
    return values[-1]


def _all_of(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(one for value in values for one in value))


def _common(values: Sequence[Any]) -> frozenset[Any]:
    return frozenset.intersection(*(frozenset(value) for value in values))


def _joined(values: Sequence[Any]) -> dict[str, str]:
    return {key: one for value in values for key, one in value.items()}


# The strictest wins where something is forbidden or limited; the nearest where something is only a default.
SETTINGS: dict[str, _Setting] = {
    "default_channels": _Setting(_list_of(_channel), _nearest),
    "allowed_channels": _Setting(_list_of(_channel), _common),
    "required_channels": _Setting(_list_of(_channel), _all_of),
    "default_packages": _Setting(_list_of(_package), _nearest),
    "included_packages": _Setting(_list_of(_package), _all_of),
    "required_packages": _Setting(_list_of(_package), _all_of),
    "default_platforms": _Setting(_list_of(_one_of(PLATFORMS)), _nearest),
    "allowed_platforms": _Setting(_list_of(_one_of(PLATFORMS)), _common),
    "virtual_packages": _Setting(_virtual, _joined),
    "channel_priority": _Setting(_text(_one_of(("strict", "disabled"))), _last),
    "artifacts": _Setting(_list_of(_one_of(ArtifactKind.values)), _nearest),
    "pip_allowed": _Setting(_flag, all),
    "link_scripts_allowed": _Setting(_flag, all),
    "sdists_allowed": _Setting(_flag, all),
    "pip_index": _Setting(_text(_index), _last),
    "allowed_pip_indexes": _Setting(_list_of(_index), _common),
    "solve_seconds": _Setting(_limit, min),
    "build_seconds": _Setting(_limit, min),
    "memory_bytes": _Setting(_limit, min),
    "environment_bytes": _Setting(_limit, min),
    "concurrent_builds": _Setting(_limit, min),
    "retention_keep_last": _Setting(_limit, _last),
    "retention_days": _Setting(_limit, _last),
    "retention_then": _Setting(_text(_one_of(("archive", "delete"))), _last),
    "rebuild": _Setting(_text(_one_of(Rebuild.values)), _last),
    "rebuild_cron": _Setting(_text(_cron), _last),
    "rebuild_time_zone": _Setting(_text(_zone), _last),
}


# Whether code that packages bring is run, in a sandbox: IT alone allows it, for the installation; other levels can forbid it.
CODE_SWITCHES = ("link_scripts_allowed", "sdists_allowed")


def merge(levels: Iterable[Values]) -> Merged:
    """What several levels, the widest first, make together."""
    rows = list(levels)
    found: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        values = [row[name] for row in rows if row.get(name) is not None]
        if values:
            found[name] = setting.join(values)
    return Merged(**found)


def checked(changes: Values) -> dict[str, Any]:
    """Values as they are kept; null takes a setting away. Raises Unprocessable naming the setting."""
    unknown = sorted(set(changes) - set(SETTINGS))
    if unknown:
        raise Unprocessable(f"There is no setting '{unknown[0][:60]}'.", code="unknown_setting", hint=f"Settings: {', '.join(SETTINGS)}.")
    kept = {}
    for name, value in changes.items():
        try:
            kept[name] = None if value is None else SETTINGS[name].check(value)
        except Unprocessable as error:
            raise Unprocessable(f"{name}: {error.detail}", code=error.code, hint=error.hint) from None
    return kept


def settings_for(organization: Organization | None, environment: Environment | None = None) -> Merged:
    """What holds in an organization or for an environment; one query."""
    return merge(row.values for row in _levels(organization, environment))


def settings_of_all(environments: Iterable[Environment]) -> dict[int, Merged]:
    """What holds for each of several environments, by id; one query."""
    wanted = list(environments)
    if not wanted:
        return {}
    rows: dict[tuple[int | None, int | None], Values] = {
        (row.organization_id, row.environment_id): row.values for row in EnvironmentSettings.objects.all()
    }
    found: dict[int, Merged] = {}
    known: dict[tuple[int, int | None], Merged] = {}
    for one in wanted:
        # Most have no settings of their own: then they have what their organization's others have.
        key = (one.organization_id, one.pk if (None, one.pk) in rows else None)
        if key not in known:
            levels = ((None, None), (one.organization_id, None), (None, one.pk))
            known[key] = merge(rows[level] for level in levels if level in rows)
        found[one.pk] = known[key]
    return found


def own_values(on: Organization | Environment | None) -> dict[str, Any]:
    """What is set at exactly this level; None: the installation."""
    row = EnvironmentSettings.objects.filter(**_place(on)).first()
    return dict(row.values) if row else {}


def change_settings(*, actor: Actor, on: Organization | Environment | None, changes: Values) -> dict[str, Any]:
    """Set some values at one level, null takes one away; the level's values afterwards. Raises Forbidden, Unprocessable."""
    _require_may_change(actor, on)
    kept = checked(changes)
    _check_switches(on, kept)
    with transaction.atomic():
        EnvironmentSettings.objects.get_or_create(**_place(on))
        row = EnvironmentSettings.objects.select_for_update(of=("self",)).get(**_place(on))
        row.values = {name: value for name, value in {**row.values, **kept}.items() if value is not None}
        row.changed_by = actor.label
        row.save()
        audit(
            actor=actor,
            action="environment.settings",
            target=str(on) if on is not None else "installation",
            organization_id=on.organization_id if isinstance(on, Environment) else on.pk if on else None,
            details={"changed": sorted(kept), **{name: kept[name] for name in CODE_SWITCHES if name in kept}},
        )
        for react in _reactions:
            react(on, kept)
    return dict(row.values)


def _require_may_change(actor: Actor, on: Organization | Environment | None) -> None:
    if on is None:
        require(actor, Permission.HUB_OPERATE, HUB)
    elif isinstance(on, Environment):
        require(actor, Permission.ENVIRONMENT_UPDATE, on)
    else:
        require(actor, Permission.ORGANIZATION_UPDATE, on)


def _check_switches(on: Organization | Environment | None, kept: Values) -> None:
    known = own_values(on)
    wanted = [name for name in CODE_SWITCHES if kept.get(name) and not known.get(name)]
    if wanted and on is not None:
        raise Unprocessable(
            f"{wanted[0]}: IT alone allows it, for the whole installation; here it can be forbidden.", code="only_it_allows", hint="Ask IT."
        )
    if wanted:
        sandboxes.require()


def _place(on: Organization | Environment | None) -> dict[str, Any]:
    if isinstance(on, Environment):
        return {"organization": None, "environment": on}
    return {"organization": on, "environment": None}


def _levels(organization: Organization | None, environment: Environment | None) -> list[EnvironmentSettings]:
    """The widest first."""
    wanted = Q(organization=None, environment=None)
    if organization is not None:
        wanted |= Q(organization=organization)
    if environment is not None:
        wanted |= Q(environment=environment)
    rows = EnvironmentSettings.objects.filter(wanted)
    return sorted(rows, key=lambda row: (row.environment_id is not None, row.organization_id is not None))
