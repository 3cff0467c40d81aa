"""Brings a plain folder's index to what its journal says: the shards, then every other file of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from mirrors_app.core.current import MAX_CURRENT_RECORDS, choose_current
from mirrors_app.core.index_files import (
    SHARD_FOLDER,
    IndexWriter,
    Shown,
    Staging,
    compress_beside,
    line_of,
    render_shard_index,
)
from mirrors_app.core.journal import Journal
from mirrors_app.core.shards_beside import write_shards

SECTIONS = ("packages", "packages.conda")
COMPRESSORS = 2

Shards = dict[str, bytes | None]


def render(folder: Path, journal: Journal, dirty: Mapping[str, Sequence[str]]) -> None:
    """dirty: subdir -> names whose shards are to be made anew ('' stands for none). Durable, and noted in the journal, at the end.

    The shards come first, of all subdirs at once, for they cost what changed; the files that list everything follow, at once as well.
    """
    extras = {subdir: _extra(journal, subdir) for subdir in dirty}
    with Staging(folder) as staging:
        changed = {subdir: _render_sharded(folder / subdir, journal, staging, names, extras[subdir]) for subdir, names in dirty.items()}
        staging.place()
    with Staging(folder) as staging, ThreadPoolExecutor(COMPRESSORS, "mirror-compress") as pool:
        waiting = [one for subdir in dirty for one in _render_whole(folder / subdir, journal, staging, pool, extras[subdir])]
        for one in waiting:
            one.result()
        staging.place()
    with journal.transaction():
        for subdir, shards in changed.items():
            journal.rendered(subdir, shards)


def _extra(journal: Journal, subdir: str) -> dict[str, Any]:
    state = journal.states().get(subdir)
    extra: dict[str, Any] = orjson.loads(state.extra) if state is not None else {}
    return extra


def _render_sharded(folder: Path, journal: Journal, staging: Staging, names: Sequence[str], extra: Mapping[str, Any]) -> Shards:
    (folder / SHARD_FOLDER).mkdir(parents=True, exist_ok=True)
    subdir = folder.name
    shards = _render_shards(folder, journal, [name for name in names if name])
    every = {name: sha256 for name, sha256 in {**journal.shards(subdir), **shards}.items() if sha256 is not None}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with staging.file(folder / "repodata_shards.msgpack.zst") as out:
        out.write(render_shard_index(subdir=subdir, extra_info=extra.get("info") or {}, shards=every, created_at=now))
    return shards


def _render_shards(folder: Path, journal: Journal, names: Sequence[str]) -> Shards:
    shards: Shards = dict.fromkeys(names)
    shards.update(write_shards(folder / SHARD_FOLDER, journal.of_names(folder.name, names), count=len(names)))
    return shards


def _render_whole(
    folder: Path, journal: Journal, staging: Staging, pool: ThreadPoolExecutor, extra: Mapping[str, Any]
) -> list[Future[None]]:
    """repodata.json, run_exports.json and current_repodata.json. Their compressed forms are being made when it returns."""
    subdir, plain, run_exports = folder.name, folder / "repodata.json", folder / "run_exports.json"
    few = journal.count(subdir) <= MAX_CURRENT_RECORDS
    shown: dict[str, list[Shown]] = {}
    with staging.file(plain) as out, staging.file(run_exports) as beside:
        writer = IndexWriter(out, subdir=subdir, extra=extra, run_exports=beside)
        for section in SECTIONS:
            if few:
                shown[section] = list(journal.of_section(subdir, section))
            writer.section(section, map(line_of, shown[section]) if few else journal.lines_of_section(subdir, section))
        writer.v3(journal.of_section(subdir, "v3"))
        writer.end()
    waiting = [pool.submit(compress_beside, staging, path) for path in (plain, run_exports)]
    current = folder / "current_repodata.json"
    if not few:
        # Clients that miss it ask for repodata.json; an old one would lie to them.
        for path in (current, current.with_name(current.name + ".zst"), current.with_name(current.name + ".bz2")):
            staging.remove(path)
        return waiting
    chosen = choose_current([one for records in shown.values() for one in records], subdir=subdir)
    with staging.file(current) as out:
        writer = IndexWriter(out, subdir=subdir, extra=extra)
        for section, all_ in shown.items():
            writer.section(section, (line_of(one) for one in all_ if one.filename in chosen))
        writer.end()
    return [*waiting, pool.submit(compress_beside, staging, current)]
