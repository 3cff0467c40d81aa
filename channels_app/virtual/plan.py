"""Which member of a virtual channel a package name belongs to: a function of the rows as they are now."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from django.utils.translation import gettext as _

from channels_app.models import AllowedName, FormerName, PackageFile, ReservedName, VirtualMember

CHUNK_NAMES = 400
# A member of which nothing is shown, in the place of its head.
GONE = -1


class Reservation(NamedTuple):
    """A package name, in which * stands for any number of characters, and the member that it is reserved for (None: for nobody)."""

    pattern: str
    member: int | None

    def matches(self, name: str) -> bool:
        return _compiled(self.pattern).fullmatch(name) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")))


@dataclass(frozen=True)
class Owner:
    """Whose a name is. members: those whose files are shown, the owner first; none where it is nobody's. why: a sentence's end."""

    members: tuple[int, ...]
    why: str = ""


@dataclass(frozen=True)
class Plan:
    """The members of a virtual channel, the highest first, and what is said of names.

    gone: members in their grace period after a delete: their names stay theirs, and nothing of them is shown.
    patterns: reservations with a * in them; those of one name are looked up with the name.
    """

    virtual_id: int
    members: tuple[int, ...]
    names: dict[int, str]
    organizations: dict[int, int]
    heads: dict[int, int]
    gone: frozenset[int]
    patterns: tuple[Reservation, ...]
    allowed: frozenset[str]

    @property
    def standing(self) -> dict[int, int]:
        """What the index is to take in of each member: its head, or GONE."""
        return {member: GONE if member in self.gone else head for member, head in self.heads.items()}

    def owners(self, names: Collection[str] | None) -> Callable[[str], Owner]:
        """Whose each of these names (None: any name) is; a few queries for all of them."""
        return self.owners_among(names, _holders(self, names))

    def holders(self, names: Collection[str]) -> dict[str, set[int]]:
        """The members that hold, or ever held, each of these names; one query for 400 names."""
        return _holders(self, names)

    def owners_among(self, names: Collection[str] | None, held: Mapping[str, Collection[int]]) -> Callable[[str], Owner]:
        """The same as `owners`, where the holders are known already."""
        exact = _exact(self, names)
        return lambda name: self._owner(name, held.get(name, ()), exact.get(name))

    def _owner(self, name: str, holders: Collection[int], exact: Reservation | None) -> Owner:
        found = [one for one in self.patterns if one.matches(name)]
        reserved = {one.member: one.pattern for one in (*found, *([exact] if exact else ()))}
        if None in reserved:
            return Owner((), _("kept from all members by the reservation '%(pattern)s'") % {"pattern": reserved[None]})
        members = tuple(one for one in self.members if one in holders or one in reserved)
        if not members:
            return Owner((), _("held by no member"))
        highest = members[0] in holders
        why = (
            _("the highest member that ever held it")
            if highest
            else _("reserved for it by '%(pattern)s'") % {"pattern": reserved[members[0]]}
        )
        if name in self.allowed and len(members) > 1:
            return Owner(members, _("%(why)s; allowed to be merged with what lower members hold") % {"why": why})
        return Owner(members[:1], why)


def read_plan(virtual_id: int, members: Iterable[VirtualMember] | None = None) -> Plan:
    """Three queries, or two where the members are at hand, the highest first, with their organizations."""
    if members is None:
        rows = VirtualMember.objects.filter(virtual_id=virtual_id, is_leaving=False).order_by("position", "pk")
        columns = ("name", "organization_id", "head", "deleted_at", "organization__deleted_at")
        found = list(rows.values_list("member_id", *(f"member__{column}" for column in columns)))
    else:
        channels = [row.member for row in members]
        found = [(one.pk, one.name, one.organization_id, one.head, one.deleted_at, one.organization.deleted_at) for one in channels]
    reserved = ReservedName.objects.filter(virtual_id=virtual_id, pattern__contains="*").values_list("pattern", "member_id")
    return Plan(
        virtual_id=virtual_id,
        members=tuple(row[0] for row in found),
        names={row[0]: row[1] for row in found},
        organizations={row[0]: row[2] for row in found},
        heads={row[0]: row[3] for row in found},
        gone=frozenset(row[0] for row in found if row[4] is not None or row[5] is not None),
        patterns=tuple(Reservation(*row) for row in reserved),
        allowed=frozenset(AllowedName.objects.filter(virtual_id=virtual_id).values_list("name", flat=True)),
    )


def _holders(plan: Plan, names: Collection[str] | None) -> dict[str, set[int]]:
    """The members that hold, or ever held, each name in any subdir, whatever became of the files."""
    result: dict[str, set[int]] = defaultdict(set)
    for chunk in _chunks(names):
        if chunk is not None:
            files, former = (
                model.objects.filter(channel_id__in=plan.members, name__in=chunk).order_by().values_list("name", "channel_id")
                for model in (PackageFile, FormerName)
            )
            for name, member in files.union(former).iterator(chunk_size=5000):
                result[name].add(member)
            continue
        for model in (PackageFile, FormerName):
            for member in plan.members:
                rows = model.objects.filter(channel_id=member).order_by().values_list("name", flat=True)
                for name in rows.distinct().iterator(chunk_size=5000):
                    result[name].add(member)
    return result


def _exact(plan: Plan, names: Collection[str] | None) -> dict[str, Reservation]:
    result = {}
    for chunk in _chunks(names):
        rows = ReservedName.objects.filter(virtual_id=plan.virtual_id, **({} if chunk is None else {"pattern__in": chunk}))
        for pattern, member in rows.values_list("pattern", "member_id").iterator(chunk_size=5000):
            result[pattern] = Reservation(pattern, member)
    return result


def _chunks(names: Collection[str] | None) -> Iterator[list[str] | None]:
    if names is None:
        yield None
        return
    ordered = sorted(set(names))
    for start in range(0, len(ordered), CHUNK_NAMES):
        yield ordered[start : start + CHUNK_NAMES]


def virtuals_of(channel_id: int) -> list[int]:
    """The virtual channels that show this channel, in the order of their ids."""
    found = VirtualMember.objects.filter(member_id=channel_id, is_leaving=False)
    return list(found.order_by("virtual_id").values_list("virtual_id", flat=True))
