"""Who asks: a person, a robot, a token, nobody, or the hub itself, with the roles that one query finds for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from django.db.models import BigIntegerField, CharField, F, Q, Value

from condahub.accounts.models import ApiToken, Grant, Organization, Team, TokenLimit, User
from condahub.accounts.permissions import Role
from condahub.prepared import Prepared

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

# A refusal looks again in the database when what it stands on is older than this, so a new grant acts at once
# and a refused client that hammers costs at most one query a second.
REFUSAL_RECHECK_SECONDS = 1.0


T = TypeVar("T")


class HeldRole(NamedTuple):
    """One role that somebody holds, by himself or through a team."""

    organization_id: int
    channel_id: int | None
    package_name: str
    environment_id: int | None
    role: str


class Limit(NamedTuple):
    """One place that a limited token may act in; `role` is the most it may be there, or empty."""

    organization_id: int
    channel_id: int | None
    package_name: str
    role: str


type_of_roles = dict[int, tuple[HeldRole, ...]]


@dataclass(slots=True)
class _Memo:
    """What an actor has read of the database; lives as long as the actor does (a request, or 5 s in the token cache)."""

    roles: type_of_roles | None = None
    read_at: float = 0.0
    limits: tuple[Limit, ...] | None = None
    made: dict[str, tuple[float, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Actor:
    """Who asks. `user` None and not `system`: nobody signed in. `token` None: a session, or the operator's admin token."""

    user: User | None = None
    token: ApiToken | None = None
    system: bool = False
    via: str = ""
    _memo: _Memo = field(default_factory=_Memo, compare=False, repr=False)

    @classmethod
    def anonymous(cls) -> Actor:
        return cls()

    @classmethod
    def of(cls, user: User | AnonymousUser | None) -> Actor:
        """The actor of a signed-in session (`request.user`)."""
        return cls(user=user, via="session") if isinstance(user, User) else cls()

    @property
    def is_anonymous(self) -> bool:
        return self.user is None and not self.system

    @property
    def is_active(self) -> bool:
        """Signed in and not deactivated; the hub itself is always."""
        return self.system or (self.user is not None and self.user.is_active)

    @property
    def has_staff_power(self) -> bool:
        """Whether the person behind it is staff, however narrow the token is."""
        return self.user is not None and self.user.is_active and (self.user.is_staff or self.user.is_superuser)

    @property
    def is_staff(self) -> bool:
        """Staff (or the hub itself) with nothing narrowing it: only then a shortcut past `can` is right."""
        return self.system or (self.has_staff_power and (self.token is None or self.token.is_full))

    @property
    def label(self) -> str:
        """The name for logs and the audit."""
        if self.system:
            return "system"
        return "anonymous" if self.user is None else self.user.get_username()

    @property
    def user_id(self) -> int | None:
        return None if self.user is None else self.user.pk

    @property
    def token_prefix(self) -> str:
        if self.token is not None:
            return self.token.prefix
        return "admin token" if self.via == "admin_token" else ""

    def roles(self, *, not_older_than_seconds: float | None = None) -> type_of_roles:
        """Every role held, by organization: one query, remembered. Personal organizations let in their owner alone."""
        memo = self._memo
        age = time.monotonic() - memo.read_at
        if memo.roles is None or (not_older_than_seconds is not None and age > not_older_than_seconds):
            memo.roles = {} if self.user is None or not self.user.is_active else held_roles(self.user.pk)
            memo.read_at = time.monotonic()
        return memo.roles

    def limits(self) -> tuple[Limit, ...] | None:
        """Where its token may act; None when nothing limits it."""
        if self.token is None or not self.token.is_limited:
            return None
        if self._memo.limits is None:
            rows = TokenLimit.objects.filter(token=self.token)
            self._memo.limits = tuple(Limit(*row) for row in rows.values_list("organization_id", "channel_id", "package_name", "role"))
        return self._memo.limits

    def made_once(self, key: str, make: Callable[[], T]) -> T:
        """What `make` makes of the roles, as long as these are not read anew."""
        self.roles()
        known = self._memo.made.get(key)
        if known is None or known[0] != self._memo.read_at:
            known = self._memo.made[key] = (self._memo.read_at, make())
        return cast("T", known[1])

    def remember_limits(self, limits: tuple[Limit, ...]) -> None:
        """Spare the query for limits that came with the token's own row."""
        self._memo.limits = limits


SYSTEM = Actor(system=True)


def _roles_of(user_id: int) -> Any:
    columns = ("organization_id", "channel_id", "package_name", "environment_id", "role")
    granted: Any = (
        Grant.objects.order_by()
        .filter(Q(user_id=user_id) | Q(team__in=Team.objects.filter(group__user=user_id)))
        .filter(organization__deleted_at__isnull=True, organization__personal_of__isnull=True)
        .values_list(*columns)
    )
    personal: Any = (
        Organization.objects.order_by()
        .filter(personal_of_id=user_id, deleted_at__isnull=True)
        .values_list(
            F("pk"),
            Value(None, output_field=BigIntegerField()),
            Value("", output_field=CharField()),
            Value(None, output_field=BigIntegerField()),
            Value(Role.OWNER.value, output_field=CharField()),
        )
    )
    return granted.union(personal)


_prepared_roles = Prepared(_roles_of, -1)


def held_roles(user_id: int) -> type_of_roles:
    """The roles of a user, through grants of its own and of its teams and as owner of a personal organization; one query."""
    found: dict[int, list[HeldRole]] = {}
    for row in _prepared_roles.rows(user_id):
        held = HeldRole(*row)
        found.setdefault(held.organization_id, []).append(held)
    return {organization_id: tuple(rows) for organization_id, rows in found.items()}
