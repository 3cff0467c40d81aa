"""What needs a package: the names that the latest version of each depends on, kept current as its files come and go."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import msgspec

from channels_app.index.assemble import named
from channels_app.models import Channel, PackageFile, PackageNeed
from condahub.bulk import insert

BATCH_ROWS = 500
# What a package can be called, and a column can hold.
_NAME = re.compile(r"[a-z0-9_.+-]{1,128}")


class _Depends(msgspec.Struct):
    depends: list[str] | None = None


_depends = msgspec.json.Decoder(_Depends)


def note(channel: Channel, names: Sequence[str], newest: Collection[int]) -> None:
    """Bring the needs of these names up to date; in the transaction that changed the files.

    newest: ids of the files that speak for a name: of its latest version the newest for each platform. Two queries, and one
    more for what came and for what went.
    """
    wanted = _read(newest)
    before: dict[str, dict[str, int]] = defaultdict(dict)
    for pk, name, needed in PackageNeed.objects.filter(channel=channel, name__in=names).values_list("pk", "name", "needed"):
        before[name][needed] = pk
    gone = [pk for name in names for needed, pk in before[name].items() if needed not in wanted.get(name, ())]
    fresh = [(name, needed) for name in names for needed in sorted(wanted.get(name, set()) - before[name].keys())]
    for start in range(0, len(gone), BATCH_ROWS):
        PackageNeed.objects.filter(pk__in=gone[start : start + BATCH_ROWS]).delete()
    if fresh:
        insert(PackageNeed._meta.db_table, {"channel_id": channel.pk}, ("name", "needed"), fresh)


def needed_by(record: str, patch: str) -> set[str]:
    """The names that a record depends on, a hotfix of it considered; not those of the machine (`__glibc`)."""
    try:
        depends = _depends.decode(patch).depends if patch else None
        if depends is None:
            depends = _depends.decode(record).depends or []
    except msgspec.DecodeError:
        # What an upstream wrote there is no list of requirements: it needs nothing that could be looked up.
        return set()
    found = {named(spec) for spec in depends}
    return {name for name in found if _NAME.fullmatch(name) and not name.startswith("__")}


def _read(newest: Collection[int]) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    ids = sorted(newest)
    for start in range(0, len(ids), BATCH_ROWS):
        rows = PackageFile.objects.filter(pk__in=ids[start : start + BATCH_ROWS])
        for name, record, patch in rows.values_list("name", "record", "patch"):
            found[name] |= needed_by(record, patch)
    return found
