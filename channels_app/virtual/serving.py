"""Which member's door a package of a virtual channel is given out at, remembered so that a hot one costs no query."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from channels_app import doors
from channels_app.doors import Door, ServedFile
from channels_app.index import answers, maps
from channels_app.models import Channel, Effect, PackageFile, Revision, Shard
from channels_app.virtual import walls
from channels_app.virtual.plan import read_plan
from channels_app.virtual.rules import VirtualRules
from condahub.accounts.policy import Actor, Visibility
from condahub.errors import Forbidden
from condahub.remembering import Remembered

REMEMBERED = 32_768
# By the virtual channel's generation and head: both move before what is remembered of it is wrong for long.
_owners: Remembered[tuple[int, int, int, str], tuple[int, ...]] = Remembered(REMEMBERED)
_names: Remembered[tuple[int, str, str], str] = Remembered(REMEMBERED)
_rules: Remembered[tuple[int, int], VirtualRules] = Remembered(REMEMBERED)


class Found(NamedTuple):
    """A member's door, and the file at it; the virtual channel's own door with none where there is no such file."""

    door: Door
    file: ServedFile | None


def find(door: Door, subdir: str, filename: str) -> Found:
    """The file that a plain URL names: of the highest member that the package's name belongs to and that holds it in any state."""
    for member in _owners_of(door, filename.rsplit("-", 2)[0]):
        where = _member_door(door, member)
        # A deleted member shows nothing, and the filenames that it holds are its still.
        if where is not None and (file := doors.served_file(where, subdir, filename)) is not None:
            _require_open(door, where, file, filename, is_past=False)
            return Found(where, file)
        if PackageFile.objects.filter(channel_id=member, subdir=subdir, filename=filename).exists():
            break
    return Found(door, None)


def find_past(door: Door, number: int, subdir: str, filename: str) -> Found:
    """The file as that revision's shard names it, of the member that holds these bytes."""
    try:
        sha256 = maps.load(door.channel_id, number).get(subdir, {}).get(filename.rsplit("-", 2)[0])
    except Revision.DoesNotExist:
        return Found(door, None)
    payload = answers.shard(door.channel_id, subdir, sha256.hex()) if sha256 is not None else None
    if payload is None:
        return Found(door, None)
    shard = msgspec.msgpack.decode(answers.zstd_decompress(payload))
    record = shard["packages.conda"].get(filename) or shard["packages"].get(filename)
    if record is None and filename not in shard["removed"]:
        return Found(door, None)
    order = list(door.members)
    vector = walls.vector_of(door.channel_id, number)
    for member in sorted(vector, key=lambda one: order.index(one) if one in order else len(order)):
        where = _past_door(door, member)
        if where is None:
            continue
        if record is not None:
            digests = {key: bytes(record[key]).hex() for key in ("sha256", "md5") if record.get(key)}
            file = doors.file_by_content(where, subdir, filename, **digests)
        else:
            file = doors.file_removed_by(where, subdir, filename, answers.view(door.channel_id, number).created_at)
        if file is not None:
            _require_open(door, where, file, filename, is_past=True)
            return Found(where, file)
    return Found(door, None)


def _require_open(door: Door, where: Door, file: ServedFile, filename: str, *, is_past: bool) -> None:
    """Raise Forbidden for a file that the rules of the virtual channel's own levels keep closed today."""
    if not door.has_policy:
        return
    key = (door.channel_id, door.generation)
    rules = _rules.get(key)
    if rules is None:
        rules = VirtualRules(Channel.objects.get(pk=door.channel_id))
        _rules.put(key, rules)
    verdict = rules.verdict(file.file_id, where.target.organization_id)
    if verdict.effect == Effect.DENY or (verdict.effect == Effect.HOLD and not is_past):
        is_denied = verdict.effect == Effect.DENY
        said = "denied" if is_denied else "held"
        raise Forbidden(
            f"'{filename}' is {said} by policy. {verdict.reason}",
            code="policy_denied" if is_denied else "held",
            hint="Ask for it: condahub request ask CHANNEL SPEC.",
        )


def require_past(actor: Actor, door: Door, number: int) -> None:
    """Raise as for a hidden channel where the actor may not read all that a revision was made of."""
    if not walls.may_read_revision(actor, door.channel_id, number):
        walls.refuse(actor)


def may_have_shard(actor: Actor, door: Door, subdir: str, sha256: str, number: int, *, is_past: bool) -> bool:
    """Whether the shard is this channel's and the actor may have it; one of the index as it is needs no more than the index."""
    name = _name_of(door.channel_id, subdir, sha256)
    if name is None:
        return False
    shown = maps.load(door.channel_id, number).get(subdir, {}).get(name)
    if shown is not None and shown.hex() == sha256:
        return True
    # Out of another revision, as a client that read the index a moment ago asks for it.
    return not is_past and walls.may_read_all_past(actor, door.channel_id)


def _name_of(channel_id: int, subdir: str, sha256: str) -> str | None:
    key = (channel_id, subdir, sha256)
    if (found := _names.get(key)) is not None:
        return found
    if answers.shard(channel_id, subdir, sha256) is None:
        return None
    rows = Shard.objects.filter(channel_id=channel_id, subdir=subdir, sha256=bytes.fromhex(sha256))
    found = rows.values_list("name", flat=True).first()
    if found is not None:
        _names.put(key, found)
    return found


def _owners_of(door: Door, name: str) -> tuple[int, ...]:
    key = (door.channel_id, door.generation, door.head, name)
    if (found := _owners.get(key)) is not None:
        return found
    made = read_plan(door.channel_id).owners([name])(name).members
    # What nobody holds may be held at any moment.
    if made:
        _owners.put(key, made)
    return made


def _member_door(door: Door, member: int) -> Door | None:
    """As the virtual channel's readers meet it: what they are given is as private as the more private of the two."""
    name = door.members.get(member)
    found = doors.door(name, fresh=False) if name is not None else None
    if found is None or found.channel_id != member:
        return None
    is_public = door.visibility == found.visibility == Visibility.PUBLIC and not door.target.made_of
    return found if is_public else found._replace(visibility=Visibility.PRIVATE)


def _past_door(door: Door, member: int) -> Door | None:
    if member in door.members:
        return _member_door(door, member)
    name = Channel.objects.existing().filter(pk=member).values_list("name", flat=True).first()
    found = doors.door(name, fresh=False) if name is not None else None
    return found._replace(visibility=Visibility.PRIVATE) if found is not None and found.channel_id == member else None


def forget_all() -> None:
    """For tests: a process that has just started remembers nothing."""
    for one in (_owners, _names, _rules):
        one.forget_all()
