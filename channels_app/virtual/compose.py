"""Makes one shard of several members' shards of a name, and takes out of it what is not to be shown: pure functions."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import msgspec
import orjson

from channels_app.index.render import Fragment, RenderedName, zstd_compress, zstd_decompress

SECTIONS = (("packages", "packages", "run_exports"), ("packages.conda", "packages_conda", "run_exports_conda"))
_raw = msgspec.json.Decoder(dict[str, msgspec.Raw])
_fragments = msgspec.msgpack.Decoder(Fragment)
_msgpack = msgspec.msgpack.Encoder(order="sorted")


class Part(NamedTuple):
    """One member's share of a name: its shard and fragment as they are stored, and the filenames of it that are not to be shown.

    held: filenames that the member holds in any state: no lower member's file takes such a name.
    """

    payload: bytes
    fragment: bytes
    hidden: Collection[str] = ()
    held: Collection[str] = ()


def filenames_of(payload: bytes) -> list[str]:
    """Those that a shard shows."""
    shard = msgspec.msgpack.decode(zstd_decompress(payload))
    return sorted({*shard["packages"], *shard["packages.conda"]})


def merge(name: str, parts: Iterable[Part], *, held: Collection[str] = ()) -> RenderedName | None:
    """One shard of the parts, the highest member's first; None where nothing is left to say.

    A filename means the same file everywhere: the one of the highest member that holds it, shown or not. held: filenames
    that no part may show.
    """
    taken, removed = set(held), set[str]()
    shard: dict[str, Any] = {"packages": {}, "packages.conda": {}}
    texts: dict[str, dict[str, bytes]] = {field: {} for section in SECTIONS for field in section[1:]}
    about = b"{}"
    for part in parts:
        decoded = msgspec.msgpack.decode(zstd_decompress(part.payload))
        fragment = _fragments.decode(zstd_decompress(part.fragment))
        fields = {field: _raw.decode(b"{" + getattr(fragment, field) + b"}") for _, *pair in SECTIONS for field in pair}
        shown = set()
        for section, records, exports in SECTIONS:
            for filename, record in decoded[section].items():
                if filename in taken or filename in part.hidden:
                    continue
                shown.add(filename)
                shard[section][filename] = record
                for field in (records, exports):
                    texts[field][filename] = bytes(fields[field][filename])
        removed |= set(decoded["removed"]) - taken
        taken |= {*decoded["packages"], *decoded["packages.conda"], *decoded["removed"], *part.held}
        if about == b"{}" and shown:
            about = bytes(fragment.about)
    return _rendered(name, shard, texts, sorted(removed), about)


def _rendered(
    name: str, shard: dict[str, Any], texts: dict[str, dict[str, bytes]], removed: list[str], about: bytes
) -> RenderedName | None:
    records = len(shard["packages"]) + len(shard["packages.conda"])
    if not records and not removed:
        return None
    payload = zstd_compress(_msgpack.encode({**shard, "removed": removed}))
    joined = {
        field: b",".join(orjson.dumps(filename) + b":" + text for filename, text in sorted(found.items())) for field, found in texts.items()
    }
    fragment = Fragment(name=name, removed=removed, about=about, **joined)
    return RenderedName(
        sha256=hashlib.sha256(payload).digest(),
        payload=payload,
        fragment=zstd_compress(msgspec.msgpack.encode(fragment)),
        records=records,
        json_bytes=len(fragment.packages) + len(fragment.packages_conda) + sum(len(one) + 3 for one in removed),
    )
