"""Which shard every name of a virtual channel ought to have, by what its members show: read and made, nothing published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from channels_app.index import maps
from channels_app.index.beside import Key
from channels_app.index.maps import ShardMap
from channels_app.index.publish import store_shards
from channels_app.index.render import RenderedName
from channels_app.models import PackageFile, Shard
from channels_app.virtual.compose import Part, merge
from channels_app.virtual.plan import Owner, Plan
from channels_app.virtual.rules import Judged, VirtualRules

CHUNK_NAMES = 200


class Wanted(NamedTuple):
    """copied: shards taken over as they are, with the member that has them; made: those that no member has, or None.

    Only what differs from the index as it is. due: when the virtual channel's rules may say otherwise, by name.
    """

    copied: dict[Key, tuple[int, bytes]]
    made: dict[Key, RenderedName | None]
    due: dict[str, datetime]

    @property
    def delta(self) -> maps.ShardDelta:
        result: maps.ShardDelta = {}
        for key, (_, sha256) in self.copied.items():
            result.setdefault(key.subdir, {})[key.name] = sha256
        for key, one in self.made.items():
            result.setdefault(key.subdir, {})[key.name] = one.sha256 if one else None
        return result


def wanted(plan: Plan, rules: VirtualRules, current: ShardMap, names: Collection[str] | None) -> Wanted:
    """What of these names (None: of all) is to be another shard than in `current`."""
    shown = {member: maps.load(member, plan.heads[member]) for member in plan.members if member not in plan.gone}
    owner_of = plan.owners(names)
    if names is None:
        names = {name for shards in (current, *shown.values()) for found in shards.values() for name in found}
    owners = {name: owner_of(name) for name in names}
    subdirs = sorted({subdir for shards in (current, *shown.values()) for subdir in shards})
    result = Wanted({}, {}, {})
    special: list[tuple[Key, Owner]] = []
    for subdir in subdirs:
        before = current.get(subdir, {})
        here = {member: shards.get(subdir, {}) for member, shards in shown.items()}
        for name, owner in owners.items():
            found = [member for member in owner.members if name in here.get(member, {})]
            if not found:
                if name in before:
                    result.made[Key(subdir, name)] = None
            elif len(owner.members) > 1 or not rules.judge(plan.organizations[found[0]]).says_nothing:
                special.append((Key(subdir, name), owner))
            elif before.get(name) != (sha256 := here[found[0]][name]):
                result.copied[Key(subdir, name)] = (found[0], sha256)
    for start in range(0, len(special), CHUNK_NAMES):
        _compose(plan, rules, current, shown, special[start : start + CHUNK_NAMES], result)
    return result


def _compose(
    plan: Plan,
    rules: VirtualRules,
    current: ShardMap,
    shown: Mapping[int, ShardMap],
    chunk: list[tuple[Key, Owner]],
    result: Wanted,
) -> None:
    """The names of a chunk that may need a shard of their own; those that turn out to need none are copied."""
    names_of: dict[int, set[str]] = defaultdict(set)
    for key, owner in chunk:
        for member in owner.members:
            names_of[member].add(key.name)
    judged = {member: rules.judged(member, plan.organizations[member], names) for member, names in names_of.items()}
    for one in judged.values():
        for name, moment in one.due.items():
            result.due[name] = min(result.due.get(name, moment), moment)
    held = _held_filenames({key.name for key, owner in chunk if len(owner.members) > 1}, names_of)
    plain: dict[Key, tuple[int, bytes]] = {}
    mixed: list[tuple[Key, Owner]] = []
    for key, owner in chunk:
        found = [member for member in owner.members if key.name in shown.get(member, {}).get(key.subdir, {})]
        above = {filename for member in owner.members[: owner.members.index(found[0])] for filename in held[member].get(key, ())}
        if len(found) == 1 and not above and not judged[found[0]].hidden.get(key):
            plain[key] = (found[0], shown[found[0]][key.subdir][key.name])
        else:
            mixed.append((key, owner))
    stored = _stored(mixed, shown)
    for key, owner in mixed:
        made = _merged(key, owner.members, stored, judged, held)
        if (made.sha256 if made else None) != current.get(key.subdir, {}).get(key.name):
            result.made[key] = made
    result.copied.update({key: one for key, one in plain.items() if current.get(key.subdir, {}).get(key.name) != one[1]})


def _held_filenames(names: Collection[str], names_of: Mapping[int, Collection[str]]) -> dict[int, dict[Key, set[str]]]:
    """The filenames that members hold of merged names, in any state: member -> (subdir, name) -> filenames."""
    result: dict[int, dict[Key, set[str]]] = defaultdict(lambda: defaultdict(set))
    if names:
        rows = PackageFile.objects.filter(channel_id__in=list(names_of), name__in=sorted(names)).order_by()
        for channel_id, subdir, name, filename in rows.values_list("channel_id", "subdir", "name", "filename"):
            result[channel_id][Key(subdir, name)].add(filename)
    return result


class _Stored(NamedTuple):
    payload: bytes
    fragment: bytes


def _stored(mixed: list[tuple[Key, Owner]], shown: Mapping[int, ShardMap]) -> dict[tuple[int, Key], _Stored]:
    """The members' shards of these names; a query a member and subdir."""
    wanted_of: dict[tuple[int, str], dict[bytes, Key]] = defaultdict(dict)
    for key, owner in mixed:
        for member in owner.members:
            if (sha256 := shown.get(member, {}).get(key.subdir, {}).get(key.name)) is not None:
                wanted_of[member, key.subdir][sha256] = key
    result: dict[tuple[int, Key], _Stored] = {}
    for (member, subdir), hashes in wanted_of.items():
        rows = Shard.objects.filter(channel_id=member, subdir=subdir, sha256__in=list(hashes))
        for raw, payload, fragment in rows.values_list("sha256", "payload", "fragment"):
            result[member, hashes[bytes(raw)]] = _Stored(bytes(payload), bytes(fragment))
    return result


def _merged(
    key: Key,
    members: Iterable[int],
    stored: Mapping[tuple[int, Key], _Stored],
    judged: Mapping[int, Judged],
    held: Mapping[int, Mapping[Key, set[str]]],
) -> RenderedName | None:
    parts: list[Part] = []
    above: set[str] = set()
    for member in members:
        own = held.get(member, {}).get(key, set())
        if (found := stored.get((member, key))) is not None:
            parts.append(Part(found.payload, found.fragment, judged[member].hidden.get(key, set()) | above, own))
        above = above | own
    return merge(key.name, parts)


_COPY = f"""
    INSERT INTO {Shard._meta.db_table} (channel_id, subdir, name, sha256, payload, fragment, records, json_bytes)
    SELECT %s, subdir, name, sha256, payload, fragment, records, json_bytes FROM {Shard._meta.db_table}
    WHERE channel_id = %s AND subdir = %s AND sha256 IN
"""  # noqa: S608 - names of columns, no input


def keep_shards(virtual_id: int, found: Wanted, keys: Collection[Key] | None = None) -> None:
    """Give the virtual channel the shards that are wanted (of these keys, where some are given): bytes and address stay what they are."""
    groups: dict[tuple[int, str], list[bytes]] = defaultdict(list)
    for key, (member, sha256) in found.copied.items():
        if keys is None or key in keys:
            groups[member, key.subdir].append(sha256)
    for (member, subdir), hashes in groups.items():
        for start in range(0, len(hashes), CHUNK_NAMES):
            chunk = hashes[start : start + CHUNK_NAMES]
            marks = ", ".join(["%s"] * len(chunk))
            with connection.cursor() as cursor:
                cursor.execute(f"{_COPY} ({marks}) ON CONFLICT DO NOTHING", [virtual_id, member, subdir, *chunk])
    made = {key: one for key, one in found.made.items() if keys is None or key in keys}
    store_shards(virtual_id, made)
