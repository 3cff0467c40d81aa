"""The one place that decides: `can`, `require`, `permissions_on`, and `readable` for whole querysets.

Power of a user = roles held on the organization, the channel, the package name or the environment
+ what public (anybody) and internal (everybody signed in) objects let one read.
Power of a token = its owner's power at this moment, within its scopes and limits, + what anybody may read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from django.conf import settings
from django.db.models import Q

from condahub.accounts.actors import REFUSAL_RECHECK_SECONDS, SYSTEM, Actor, HeldRole, Limit, type_of_roles
from condahub.accounts.permissions import (
    ALL_PERMISSIONS,
    AUDITOR_PERMISSIONS,
    FULL_SCOPE,
    HUB,
    LEVEL_PERMISSIONS,
    ROLE_PERMISSIONS,
    STAFF_PERMISSIONS,
    AccessTarget,
    Level,
    Permission,
    Role,
    Visibility,
)
from condahub.errors import Forbidden, NotAuthenticated

__all__ = [
    "HUB",
    "SYSTEM",
    "AccessTarget",
    "Actor",
    "HasAccessTarget",
    "Permission",
    "Readable",
    "Role",
    "Visibility",
    "can",
    "permissions_on",
    "readable",
    "reads_all",
    "require",
    "target_of",
]

_NOTHING: frozenset[Permission] = frozenset()


@runtime_checkable
class HasAccessTarget(Protocol):
    """Anything that can be asked about."""

    @property
    def access_target(self) -> AccessTarget: ...


def target_of(obj: HasAccessTarget | AccessTarget) -> AccessTarget:
    return obj if isinstance(obj, AccessTarget) else obj.access_target


def can(actor: Actor, permission: Permission, obj: HasAccessTarget | AccessTarget) -> bool:
    """Whether the actor may do that to that. No query for public reads; else at most one for all roles of the actor."""
    target = target_of(obj)
    if target.made_of and permission is Permission.CHANNEL_READ and not all(can(actor, permission, part) for part in target.made_of):
        return False
    if permission in _open(actor, target):
        return True
    if actor.is_anonymous or not actor.is_active or not _scope_allows(actor, permission):
        return False
    if permission in _closed(actor, target, actor.roles()):
        return True
    # An actor out of the token cache may be seconds old: never refuse somebody by what was true then.
    roles = actor.roles(not_older_than_seconds=REFUSAL_RECHECK_SECONDS)
    return permission in _closed(actor, target, roles)


def permissions_on(actor: Actor, obj: HasAccessTarget | AccessTarget) -> frozenset[Permission]:
    """All that the actor may do to that."""
    target = target_of(obj)
    found = _open(actor, target) | _closed(actor, target, actor.roles())
    if target.made_of and not all(can(actor, Permission.CHANNEL_READ, part) for part in target.made_of):
        found -= {Permission.CHANNEL_READ}
    return found


def reads_all(actor: Actor) -> bool:
    """Whether the actor may look at everything that there is: auditors and staff. What is secret is shown to none of them."""
    return can(actor, Permission.AUDIT_READ, HUB)


def require(actor: Actor, permission: Permission, obj: HasAccessTarget | AccessTarget) -> None:
    """Raise NotAuthenticated for nobody, Forbidden for somebody, with the same words whether or not the object exists."""
    if can(actor, permission, obj):
        return
    if actor.is_anonymous:
        raise NotAuthenticated
    raise Forbidden


def _open(actor: Actor, target: AccessTarget) -> frozenset[Permission]:
    """What anybody may do there, whatever narrows the token. Somebody deactivated is less than anybody."""
    if target.visibility != Visibility.PUBLIC or (actor.user is not None and not actor.user.is_active):
        return _NOTHING
    return target.open_reads


def _scope_allows(actor: Actor, permission: Permission) -> bool:
    return actor.token is None or actor.token.allows(permission)


def _closed(actor: Actor, target: AccessTarget, roles: type_of_roles) -> frozenset[Permission]:
    """What takes being signed in: the user's own power there, narrowed by the token's scopes and limits."""
    if actor.system:
        return ALL_PERMISSIONS
    if not actor.is_active:
        return _NOTHING
    power = _power_of_user(actor, target, roles)
    token = actor.token
    if token is None or not power:
        return power
    if FULL_SCOPE not in token.scopes:
        power = frozenset(p for p in power if p.value in token.scopes)
    limits = actor.limits()
    return power if limits is None else power & _within(limits, target)


def _power_of_user(actor: Actor, target: AccessTarget, roles: type_of_roles) -> frozenset[Permission]:
    user = actor.user
    if user is None:
        return _NOTHING
    if user.is_superuser:
        return ALL_PERMISSIONS
    if user.is_staff:
        return STAFF_PERMISSIONS
    held = roles.get(target.organization_id, ())
    power = _NOTHING.union(*(_given(role, target) for role in held))
    if user.is_auditor:
        power |= AUDITOR_PERMISSIONS
    if target.visibility == Visibility.INTERNAL:
        power |= target.open_reads
    if target == HUB and user.get_username() in settings.CONDAHUB_ORGANIZATION_CREATORS:
        power |= {Permission.ORGANIZATION_CREATE}
    return power


def _given(held: HeldRole, target: AccessTarget) -> frozenset[Permission]:
    """What one role gives on the target: nothing when it is held on something else."""
    if held.environment_id is not None:
        matches = held.environment_id == target.environment_id
        return LEVEL_PERMISSIONS[held.role, Level.ENVIRONMENT] if matches else _known_of(target)
    if held.channel_id is None:
        return LEVEL_PERMISSIONS[held.role, Level.ORGANIZATION]
    if held.channel_id != target.channel_id:
        return _known_of(target)
    if not held.package_name:
        return LEVEL_PERMISSIONS[held.role, Level.CHANNEL]
    # An index can't be read by halves, so a role on one package name reads the whole channel.
    if held.package_name == target.package_name:
        return LEVEL_PERMISSIONS[held.role, Level.PACKAGE] | target.open_reads
    return target.open_reads


_ORGANIZATION_KNOWN: frozenset[Permission] = frozenset({Permission.ORGANIZATION_READ})


def _known_of(target: AccessTarget) -> frozenset[Permission]:
    """Who holds a role on anything in an organization may see that the organization is there."""
    return _ORGANIZATION_KNOWN if target.level is Level.ORGANIZATION else _NOTHING


def _within(limits: tuple[Limit, ...], target: AccessTarget) -> frozenset[Permission]:
    """The most that a limited token may do on the target."""
    found = _NOTHING
    for limit in limits:
        if limit.organization_id != target.organization_id:
            continue
        most = ROLE_PERMISSIONS[limit.role] if limit.role else ALL_PERMISSIONS
        if limit.channel_id is None or (limit.channel_id == target.channel_id and limit.package_name in ("", target.package_name)):
            found |= most
        elif limit.channel_id == target.channel_id:
            found |= target.open_reads
    return found


@dataclass(frozen=True, slots=True)
class Readable:
    """Which objects somebody may read, to filter querysets with. Public ones may be read by everybody.

    all: every object there is. Else whole organizations, single channels, single environments.
    signed_in: every internal object too; a limited token has those of `internal_organization_ids` and `internal_channel_ids`.
    nothing: not even public ones (a deactivated account).
    """

    all: bool = False
    signed_in: bool = False
    nothing: bool = False
    organization_ids: frozenset[int] = frozenset()
    channel_ids: frozenset[int] = frozenset()
    environment_ids: frozenset[int] = frozenset()
    internal_organization_ids: frozenset[int] = frozenset()
    internal_channel_ids: frozenset[int] = frozenset()

    def channels(self, prefix: str = "") -> Q:
        """A filter on channels, by their columns id, organization_id and visibility; `prefix` leads to them (`channel__`)."""
        return self._filter(prefix, self.channel_ids, self.internal_channel_ids)

    def environments(self, prefix: str = "") -> Q:
        """The same for environments."""
        return self._filter(prefix, self.environment_ids, frozenset())

    def _filter(self, prefix: str, ids: frozenset[int], internal_ids: frozenset[int]) -> Q:
        if self.all:
            return Q()
        if self.nothing:
            return Q(pk__in=[])
        found = Q(**{f"{prefix}visibility": Visibility.PUBLIC})
        if self.organization_ids:
            found |= Q(**{f"{prefix}organization_id__in": sorted(self.organization_ids)})
        if ids:
            found |= Q(**{f"{prefix}id__in": sorted(ids)})
        internal = Q(**{f"{prefix}visibility": Visibility.INTERNAL})
        if self.signed_in:
            return found | internal
        if self.internal_organization_ids:
            found |= internal & Q(**{f"{prefix}organization_id__in": sorted(self.internal_organization_ids)})
        if internal_ids:
            found |= internal & Q(**{f"{prefix}id__in": sorted(internal_ids)})
        return found


def readable(actor: Actor, permission: Permission = Permission.CHANNEL_READ) -> Readable:
    """What the actor may read with `channel:read` (or `environment:read`), as sets of ids; at most one query."""
    if actor.system:
        return Readable(all=True, signed_in=True)
    if actor.is_anonymous:
        return Readable()
    if not actor.is_active:
        return Readable(nothing=True)
    if not _scope_allows(actor, permission):
        return Readable()
    user = actor.user
    limits = actor.limits()
    everything = user is not None and (user.is_superuser or user.is_staff or user.is_auditor)
    if limits is None:
        return Readable(all=True, signed_in=True) if everything else _readable_by_roles(actor)
    return _readable_within(limits) if everything else _narrowed(_readable_by_roles(actor), limits, actor)


def _readable_by_roles(actor: Actor) -> Readable:
    held = [row for rows in actor.roles().values() for row in rows]
    return Readable(
        signed_in=True,
        organization_ids=frozenset(row.organization_id for row in held if row.channel_id is None and row.environment_id is None),
        channel_ids=frozenset(row.channel_id for row in held if row.channel_id is not None),
        environment_ids=frozenset(row.environment_id for row in held if row.environment_id is not None),
    )


def _readable_within(limits: tuple[Limit, ...]) -> Readable:
    """All that limits reach, for an owner who may read everything."""
    organizations = frozenset(row.organization_id for row in limits if row.channel_id is None)
    channels = frozenset(row.channel_id for row in limits if row.channel_id is not None)
    return Readable(
        organization_ids=organizations,
        channel_ids=channels,
        internal_organization_ids=organizations,
        internal_channel_ids=channels,
    )


def _narrowed(owned: Readable, limits: tuple[Limit, ...], actor: Actor) -> Readable:
    """What an owner with roles may read, within limits. A channel's limit names its organization, which a role may be on."""
    reach = _readable_within(limits)
    in_reach = [row for rows in actor.roles().values() for row in rows if row.organization_id in reach.organization_ids]
    channels = {row.channel_id for row in in_reach if row.channel_id is not None}
    channels |= {row.channel_id for row in limits if row.channel_id is not None and row.organization_id in owned.organization_ids}
    return replace(
        reach,
        organization_ids=owned.organization_ids & reach.organization_ids,
        channel_ids=frozenset(channels) | (owned.channel_ids & reach.channel_ids),
        environment_ids=frozenset(row.environment_id for row in in_reach if row.environment_id is not None),
    )
