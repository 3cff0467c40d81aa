"""What a directory or an identity provider says of people: accounts made, groups turned into teams and flags, accounts closed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from condahub.accounts.models import LDAP, MANUAL, DirectoryAccount, Flag, GroupRule, RoleSource, Team, User
from condahub.accounts.policy import HUB, SYSTEM, Actor, Permission, require
from condahub.accounts.services.users import close_account, create_user, reactivate_user
from condahub.audit.services import record
from condahub.errors import Conflict, Unprocessable

MAX_GROUPS = 2000
MAX_GROUP_CHARS = 500
FLAG_FIELDS = {Flag.STAFF: "is_staff", Flag.AUDITOR: "is_auditor"}


@dataclass(frozen=True)
class Entry:
    """A person as the directory has him. groups: each by its DN and by its plain name."""

    unique_id: str
    dn: str
    username: str
    email: str = ""
    name: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """What a group can give: a team, or a flag."""

    team_id: int | None
    flag: str


# -- accounts --------------------------------------------------------------------------------------------------------------


def admit(*, entry: Entry, link_existing: bool = False) -> User:
    """The account of a person whom the directory has just vouched for, made at the first time; with what his groups give.

    link_existing: whether an account of the same name that was made here becomes his. Raises Conflict otherwise.
    """
    with transaction.atomic():
        account = DirectoryAccount.objects.select_related("user").filter(unique_id=entry.unique_id).first()
        if account is None:
            user = _account_named(entry.username, link_existing=link_existing) or create_user(
                actor=SYSTEM, username=entry.username, email=entry.email, display_name=entry.name[:150]
            )
            account = DirectoryAccount(user=user, unique_id=entry.unique_id)
            record(actor=SYSTEM, action="user.link", target=user.username, details={"source": LDAP, "dn": entry.dn})
        user = account.user
        _note(account, entry)
        if account.closed_at is not None:
            if not user.is_active:
                reactivate_user(actor=SYSTEM, user=user)
            account.closed_at = None
        account.save()
        if user.is_active:
            apply_groups(user=user, source=LDAP, groups=entry.groups)
    return user


def _account_named(username: str, *, link_existing: bool) -> User | None:
    found = User.objects.filter(username__iexact=username).first()
    if found is None:
        return None
    linked = DirectoryAccount.objects.filter(user=found).exists()
    if not link_existing or linked or found.is_robot or found.is_superuser:
        raise Conflict(
            "An account of that name was made here, and is somebody else's as far as the hub knows.",
            code="name_taken_here",
            hint="IT staff can rename one of the two, or allow linking by name (CONDAHUB_LDAP_LINK_BY_NAME).",
        )
    return found


def _note(account: DirectoryAccount, entry: Entry) -> None:
    account.dn = entry.dn
    account.groups = sorted(entry.groups)[:MAX_GROUPS]
    account.seen_at = timezone.now()
    user = account.user
    changes = {"email": entry.email[:254], "display_name": entry.name[:150]}
    changed = [name for name, value in changes.items() if value and getattr(user, name) != value]
    if changed:
        for name in changed:
            setattr(user, name, changes[name])
        user.save(update_fields=changed)


def close(*, account: DirectoryAccount) -> None:
    """The directory has that person no more: what it gave is taken, the account stopped, its sessions and tokens ended."""
    with transaction.atomic():
        apply_groups(user=account.user, source=LDAP, groups=())
        if account.user.is_active:
            close_account(actor=SYSTEM, user=account.user, why="not in the directory any more")
            account.closed_at = timezone.now()
        account.groups = []
        account.save(update_fields=["closed_at", "groups"])


# -- groups ----------------------------------------------------------------------------------------------------------------


def apply_groups(*, user: User, source: str, groups: Collection[str]) -> None:
    """Make what `source` gives this person exactly what its rules say for these groups; what others or people gave stays.

    source: `ldap` or `oidc:<provider>`.
    """
    wanted = _places_for(source, groups)
    with transaction.atomic():
        held = {Place(row.team_id, row.flag): row for row in RoleSource.objects.filter(user=user, source=source)}
        for place, row in held.items():
            if place not in wanted:
                row.delete()
                _withdraw(user, place, source, row.group)
        for place, group in wanted.items():
            if place not in held:
                _give(user, place, source, group)


def _places_for(source: str, groups: Iterable[str]) -> dict[Place, str]:
    """What these groups give, each with the group that gives it first."""
    plain = {group.strip().casefold(): group.strip() for group in list(groups)[:MAX_GROUPS] if 0 < len(group.strip()) <= MAX_GROUP_CHARS}
    if not plain:
        return {}
    places: dict[Place, str] = {}
    for rule in GroupRule.objects.filter(source__in=("", source)).select_related("team__organization"):
        if rule.team is not None and (rule.team.organization.deleted_at is not None or rule.team.organization.is_personal):
            continue
        if found := matching(rule.pattern, plain):
            places.setdefault(Place(rule.team_id, rule.flag), found)
    # A team may name its group itself.
    for team in Team.objects.exclude(external_group="").filter(organization__deleted_at=None, organization__personal_of=None):
        if team.external_group.strip().casefold() in plain:
            places.setdefault(Place(team.pk, ""), team.external_group.strip())
    return places


def matching(pattern: str, groups: dict[str, str]) -> str:
    """The first group that fits, '' for none. Case does not count; '*' stands for any text, and nothing else is special."""
    wanted = pattern.strip().casefold()
    if "*" not in wanted:
        return groups.get(wanted, "")
    fits = re.compile(".*".join(re.escape(part) for part in wanted.split("*")), re.DOTALL)
    return next((shown for plain, shown in sorted(groups.items()) if fits.fullmatch(plain)), "")


def _give(user: User, place: Place, source: str, group: str) -> None:
    if not _is_kept(user, place) and _has(user, place):
        # Somebody gave it by hand before: it must outlast the group.
        RoleSource.objects.create(user=user, team_id=place.team_id, flag=place.flag, source=MANUAL)
    RoleSource.objects.create(user=user, team_id=place.team_id, flag=place.flag, source=source, group=group[:MAX_GROUP_CHARS])
    if _has(user, place):
        return
    if place.team_id is not None:
        team = Team.objects.select_related("group", "organization").get(pk=place.team_id)
        user.groups.add(team.group)
        _record("team.add_member", team, user, source, group)
        return
    setattr(user, FLAG_FIELDS[Flag(place.flag)], True)
    user.save(update_fields=[FLAG_FIELDS[Flag(place.flag)]])
    record(actor=SYSTEM, action="user.promote", target=user.username, details={place.flag: True, "source": source, "group": group})


def _withdraw(user: User, place: Place, source: str, group: str) -> None:
    """The source keeps it no more; it goes unless another does."""
    if _is_kept(user, place) or not _has(user, place):
        return
    if place.team_id is not None:
        team = Team.objects.select_related("group", "organization").get(pk=place.team_id)
        user.groups.remove(team.group)
        _record("team.remove_member", team, user, source, group)
        return
    if place.flag == Flag.STAFF and user.is_superuser:
        # An administrator was made by hand, and is staff by that.
        return
    setattr(user, FLAG_FIELDS[Flag(place.flag)], False)
    user.save(update_fields=[FLAG_FIELDS[Flag(place.flag)]])
    record(actor=SYSTEM, action="user.promote", target=user.username, details={place.flag: False, "source": source, "group": group})


def _is_kept(user: User, place: Place) -> bool:
    """Whether any source is written down for it."""
    kept = RoleSource.objects.filter(user=user, flag=place.flag)
    return (kept.filter(team=None) if place.team_id is None else kept.filter(team=place.team_id)).exists()


def _has(user: User, place: Place) -> bool:
    if place.team_id is not None:
        return user.groups.filter(team=place.team_id).exists()
    return bool(getattr(user, FLAG_FIELDS[Flag(place.flag)]))


def _record(action: str, team: Team, user: User, source: str, group: str) -> None:
    record(
        actor=SYSTEM,
        action=action,
        target=f"{team.organization.name}:{team.slug}",
        organization_id=team.organization_id,
        details={"member": user.username, "source": source, "group": group},
    )


# -- rules -----------------------------------------------------------------------------------------------------------------


def create_rule(*, actor: Actor, pattern: str, source: str = "", team: Team | None = None, flag: str = "") -> GroupRule:
    """A rule acts at each person's next sign-in or sync. IT staff make those of teams, administrators those of flags."""
    require(actor, Permission.USER_PROMOTE if flag else Permission.USER_MANAGE, HUB)
    rule = GroupRule(source=source.strip(), pattern=pattern.strip(), team=team, flag=flag)
    check_rule(rule)
    with transaction.atomic():
        rule.save(force_insert=True)
        record_rule(actor, "group_rule.create", rule)
    return rule


def delete_rule(*, actor: Actor, rule: GroupRule) -> None:
    """What it gave is taken at each person's next sign-in or sync."""
    require(actor, Permission.USER_PROMOTE if rule.flag else Permission.USER_MANAGE, HUB)
    with transaction.atomic():
        record_rule(actor, "group_rule.delete", rule)
        GroupRule.objects.filter(pk=rule.pk).delete()


def check_rule(rule: GroupRule) -> None:
    """Raises Unprocessable."""
    if (rule.team is None) == (not rule.flag):
        raise Unprocessable("A rule gives a team, or a flag.", hint="Name one of the two.")
    if rule.flag and rule.flag not in Flag.values:
        raise Unprocessable("A rule makes IT staff or auditors; nobody becomes an administrator by a group.", hint="Use staff or auditor.")
    if not 0 < len(rule.pattern) <= MAX_GROUP_CHARS or "\x00" in rule.pattern + rule.source:
        raise Unprocessable("The group's name is missing or too long.", hint=f"Use at most {MAX_GROUP_CHARS} characters.")
    if rule.flag and not rule.pattern.strip("* "):
        raise Unprocessable("That would make everybody staff or an auditor.", hint="Name a group.")
    if rule.source not in ("", LDAP) and re.fullmatch(r"oidc:[A-Za-z0-9_.-]{1,90}", rule.source) is None:
        raise Unprocessable("There is no such source.", hint="Use 'ldap', 'oidc:<provider>', or nothing for both.")
    if rule.team is not None and rule.team.organization.is_personal:
        raise Unprocessable("A personal organization has no teams.", hint="Name a team of another organization.")


def record_rule(actor: Actor, action: str, rule: GroupRule) -> None:
    gives = rule.flag or (str(rule.team) if rule.team is not None else "")
    record(
        actor=actor,
        action=action,
        target=rule.pattern,
        organization_id=rule.team.organization_id if rule.team is not None else None,
        details={"source": rule.source, "gives": gives},
    )
