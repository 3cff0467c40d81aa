"""Which shard each name has in a revision: read from a checkpoint and the deltas since, remembered for the head."""

from __future__ import annotations

import threading
from collections import OrderedDict

import msgspec

from channels_app.index.render import zstd_compress, zstd_decompress
from channels_app.models import Revision

# subdir -> name -> shard sha256 (32 raw bytes). Treated as immutable by everyone who gets one.
ShardMap = dict[str, dict[str, bytes]]
# The same with None for a name that is no more.
ShardDelta = dict[str, dict[str, bytes | None]]

REMEMBERED_MAPS = 32
CHECKPOINT_EVERY = 50

_encoder = msgspec.msgpack.Encoder(order="sorted")
_delta_decoder = msgspec.msgpack.Decoder(dict[str, dict[str, bytes | None]])

_lock = threading.Lock()
_remembered: OrderedDict[tuple[int, int], ShardMap] = OrderedDict()


def encode_delta(delta: ShardDelta | ShardMap) -> bytes:
    return zstd_compress(_encoder.encode(delta))


def decode_delta(data: bytes | memoryview) -> ShardDelta:
    return _delta_decoder.decode(zstd_decompress(bytes(data)))


def apply_delta(shards: ShardMap, delta: ShardDelta) -> ShardMap:
    """A new map; subdirs that the delta does not touch are shared with the old one."""
    result = dict(shards)
    for subdir, changes in delta.items():
        names = dict(result.get(subdir, {}))
        for name, sha256 in changes.items():
            if sha256 is None:
                names.pop(name, None)
            else:
                names[name] = sha256
        result[subdir] = names
    return result


def remember(channel_id: int, number: int, shards: ShardMap) -> None:
    with _lock:
        _remembered[(channel_id, number)] = shards
        _remembered.move_to_end((channel_id, number))
        while len(_remembered) > REMEMBERED_MAPS:
            _remembered.popitem(last=False)


def load(channel_id: int, number: int) -> ShardMap:
    """The map of a revision; that of revision 0, before anything, is empty. Raises Revision.DoesNotExist."""
    if number == 0:
        return {}
    with _lock:
        found = _remembered.get((channel_id, number))
        if found is not None:
            _remembered.move_to_end((channel_id, number))
            return found
    shards = _read(channel_id, number)
    remember(channel_id, number, shards)
    return shards


def _read(channel_id: int, number: int) -> ShardMap:
    near, shards = _nearest(channel_id, number)
    if shards is not None:
        steps = _steps(channel_id, near, number)
        # Where all are there: one that stands for several was made against what came before them.
        if len(steps) == number - near:
            return _applied(shards, steps)
    start = (
        Revision.objects.filter(channel_id=channel_id, number__lte=number, checkpoint__isnull=False)
        .order_by("-number")
        .values_list("number", "checkpoint")
        .first()
    )
    base, shards = 0, ShardMap()
    if start is not None and start[1] is not None:
        base = start[0]
        shards = {subdir: {name: sha for name, sha in names.items() if sha} for subdir, names in decode_delta(start[1]).items()}
    steps = _steps(channel_id, base, number)
    reached = steps[-1][0] if steps else base
    if reached != number:
        raise Revision.DoesNotExist(f"revision {number} is not kept")
    return _applied(shards, steps)


def _nearest(channel_id: int, number: int) -> tuple[int, ShardMap | None]:
    """The last revision before this one that is remembered: another process most often made but a few since."""
    with _lock:
        known = max((one for channel, one in _remembered if channel == channel_id and one < number), default=0)
        return known, _remembered.get((channel_id, known))


def _steps(channel_id: int, after: int, number: int) -> list[tuple[int, bytes | memoryview]]:
    rows = Revision.objects.filter(channel_id=channel_id, number__gt=after, number__lte=number)
    return list(rows.order_by("number").values_list("number", "delta"))


def _applied(shards: ShardMap, steps: list[tuple[int, bytes | memoryview]]) -> ShardMap:
    """All steps in one pass: the last word on a name counts, and each subdir is copied once."""
    together: ShardDelta = {}
    for _, delta in steps:
        for subdir, changes in decode_delta(delta).items():
            together.setdefault(subdir, {}).update(changes)
    return apply_delta(shards, together)


def forget_all() -> None:
    """For tests: a process that has just started remembers nothing."""
    with _lock:
        _remembered.clear()
