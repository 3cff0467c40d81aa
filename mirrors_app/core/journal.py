"""The journal of a folder mirror: one SQLite file that knows what is shown, which bytes are here, and what is yet to be rendered."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from mirrors_app.core.index_files import Line, Shown, line_of
from mirrors_app.core.records import UpstreamRecord
from mirrors_app.core.target import Known, SubdirState

SCHEMA_VERSION = 1
CHUNK = 500
# So many are looked up one by one sooner than all that is held is read.
FEW_KEYS = 5000
RARE_SECTIONS = ("packages", "v3")
_SCHEMA = """
CREATE TABLE files (subdir TEXT, filename TEXT, name TEXT, section TEXT, spelling BLOB, digest BLOB, sha256 TEXT, md5 TEXT,
                    size INTEGER, raw BLOB, gone INTEGER DEFAULT 0, PRIMARY KEY (subdir, filename));
CREATE INDEX files_by_name ON files (subdir, name);
CREATE TABLE bytes (subdir TEXT, filename TEXT, sha256 TEXT, md5 TEXT, size INTEGER, run_exports BLOB, aside INTEGER,
                    PRIMARY KEY (subdir, filename, sha256));
CREATE TABLE states (subdir TEXT PRIMARY KEY, state BLOB);
CREATE TABLE shards (subdir TEXT, name TEXT, sha256 BLOB, PRIMARY KEY (subdir, name));
CREATE TABLE dirty (subdir TEXT, name TEXT, PRIMARY KEY (subdir, name));
CREATE TABLE outgoing (subdir TEXT, filename TEXT, PRIMARY KEY (subdir, filename));
"""
_SHOWN = "filename, section, raw, coalesce(run_exports, x'7b7d') FROM files LEFT JOIN bytes USING (subdir, filename, sha256)"


T = TypeVar("T")


class Held(NamedTuple):
    """Verified bytes of a file name. aside: they lie apart, since other bytes have the name."""

    subdir: str
    filename: str
    sha256: str
    md5: str
    size: int
    run_exports: bytes
    aside: bool


class Journal:
    """Used from one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._db.execute("PRAGMA journal_mode=TRUNCATE")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA cache_size=-65536")
        if self._db.execute("PRAGMA user_version").fetchone()[0] == 0:
            with self.transaction():
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        # Few or none: each run asks for them.
        self._db.execute("CREATE INDEX IF NOT EXISTS bytes_aside ON bytes (subdir) WHERE aside=1")
        # Most are of the other section, which is read past these.
        for section in RARE_SECTIONS:
            self._db.execute(f"CREATE INDEX IF NOT EXISTS files_{section} ON files (subdir, filename) WHERE section='{section}'")

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing, on the disk at the end."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def states(self) -> dict[str, SubdirState]:
        return {
            subdir: msgspec.msgpack.decode(blob, type=SubdirState) for subdir, blob in self._db.execute("SELECT subdir, state FROM states")
        }

    def set_states(self, states: Mapping[str, SubdirState]) -> None:
        rows = [(subdir, msgspec.msgpack.encode(state)) for subdir, state in states.items()]
        self._db.executemany("INSERT OR REPLACE INTO states VALUES (?, ?)", rows)

    def known(self, subdir: str, names: Collection[str] | None) -> dict[str, Known]:
        columns = "SELECT filename, name, spelling, digest, sha256, md5, size, gone FROM files WHERE subdir=?"
        if names is None:
            rows: Iterable[Any] = self._db.execute(columns, (subdir,))
        else:
            rows = (
                row
                for chunk in _chunks(sorted(names))
                for row in self._db.execute(f"{columns} AND name IN ({_marks(chunk)})", (subdir, *chunk))
            )
        return {row[0]: _known(row) for row in rows}

    def spellings(self, subdir: str) -> dict[str, bytes | None]:
        return dict(self._db.execute("SELECT filename, CASE gone WHEN 0 THEN spelling END FROM files WHERE subdir=?", (subdir,)))

    def held(self, subdir: str, filename: str) -> list[Held]:
        rows = self._db.execute("SELECT * FROM bytes WHERE subdir=? AND filename=?", (subdir, filename))
        return [_held(row) for row in rows]

    def held_of(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[Held]]:
        """Of these (subdir, filename), those of which bytes are known."""
        if len(keys) > FEW_KEYS:
            return self._grouped(self._db.execute("SELECT * FROM bytes"))
        rows: list[Any] = []
        for chunk in _chunks(keys):
            # In this order: held against a list of pairs, SQLite would read every row.
            wanted = f"WITH wanted(subdir, filename) AS (VALUES {','.join(['(?, ?)'] * len(chunk))})"
            rows += self._db.execute(
                f"{wanted} SELECT bytes.* FROM wanted CROSS JOIN bytes USING (subdir, filename)",  # noqa: S608
                [part for key in chunk for part in key],
            )
        return self._grouped(rows)

    def _grouped(self, rows: Iterable[Any]) -> dict[tuple[str, str], list[Held]]:
        found: dict[tuple[str, str], list[Held]] = {}
        for row in rows:
            found.setdefault((row[0], row[1]), []).append(_held(row))
        return found

    def hold(self, rows: Iterable[Held]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO bytes VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def let_go(self, rows: Iterable[Held]) -> None:
        self._db.executemany("DELETE FROM bytes WHERE subdir=? AND filename=? AND sha256=?", [row[:3] for row in rows])

    def held_beside(self, records: Sequence[UpstreamRecord]) -> Iterator[Sequence[Held]]:
        """Of each of these records, which are in the order of their keys, the bytes that are known."""
        if len(records) <= FEW_KEYS:
            found = self.held_of([one.key for one in records])
            yield from (found.get(one.key, ()) for one in records)
            return
        rows = itertools.groupby(self._db.execute("SELECT * FROM bytes ORDER BY subdir, filename"), key=itemgetter(0, 1))
        key, several = next(rows, (None, None))
        for one in records:
            wanted = one.key
            while key is not None and key < wanted:
                key, several = next(rows, (None, None))
            yield [_held(row) for row in several] if several is not None and key == wanted else ()

    def put(self, rows: Iterable[tuple[UpstreamRecord, str, bytes, Held]]) -> None:
        """(record, md5 where the upstream says it, raw as it is shown, its bytes)."""
        names: set[tuple[str, str]] = set()
        going = set(self.outgoing())
        rest = (
            (one.subdir, one.filename, one.name, one.section, one.spelling, one.digest, held.sha256, md5 or held.md5, held.size, raw)
            for one, md5, raw, held in rows
        )
        while values := list(itertools.islice(rest, FEW_KEYS)):
            self._db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)", values)
            names.update([(row[0], row[2]) for row in values])
            back = [row[:2] for row in values if row[:2] in going] if going else []
            self._db.executemany("DELETE FROM outgoing WHERE subdir=? AND filename=?", back)
        self._db.executemany("INSERT OR IGNORE INTO dirty VALUES (?, ?)", sorted(names))

    def take(self, keys: Sequence[tuple[str, str]]) -> None:
        self._db.executemany("INSERT OR IGNORE INTO dirty SELECT subdir, name FROM files WHERE subdir=? AND filename=?", keys)
        self._db.executemany("DELETE FROM files WHERE subdir=? AND filename=?", keys)
        self._db.executemany("INSERT OR IGNORE INTO outgoing VALUES (?, ?)", keys)

    def leave(self, keys: Sequence[tuple[str, str]]) -> None:
        """The upstream has these no more, and they stay."""
        self._db.executemany("UPDATE files SET gone=1 WHERE subdir=? AND filename=?", keys)

    def dirty(self) -> dict[str, list[str]]:
        """subdir -> names to be rendered."""
        found: dict[str, list[str]] = {}
        for subdir, name in self._db.execute("SELECT subdir, name FROM dirty ORDER BY subdir, name"):
            found.setdefault(subdir, []).append(name)
        return found

    def mark_dirty(self, subdir: str, name: str = "") -> None:
        """'' asks for the subdir's large files alone."""
        self._db.execute("INSERT OR IGNORE INTO dirty VALUES (?, ?)", (subdir, name))

    def rendered(self, subdir: str, shards: Mapping[str, bytes | None]) -> None:
        """Names and their new shards, None where nothing is left."""
        self._db.executemany("INSERT OR REPLACE INTO shards VALUES (?, ?, ?)", [(subdir, name, one) for name, one in shards.items() if one])
        self._db.executemany("DELETE FROM shards WHERE subdir=? AND name=?", [(subdir, name) for name, one in shards.items() if not one])
        self._db.execute("DELETE FROM dirty WHERE subdir=?", (subdir,))

    def shards(self, subdir: str) -> dict[str, bytes]:
        return dict(self._db.execute("SELECT name, sha256 FROM shards WHERE subdir=?", (subdir,)))

    def outgoing(self) -> list[tuple[str, str]]:
        """Files that are not shown any more and whose bytes are still there."""
        return list(self._db.execute("SELECT subdir, filename FROM outgoing"))

    def gone(self, keys: Sequence[tuple[str, str]]) -> None:
        self._db.executemany("DELETE FROM outgoing WHERE subdir=? AND filename=?", keys)
        self._db.executemany("DELETE FROM bytes WHERE subdir=? AND filename=?", keys)

    def of_names(self, subdir: str, names: Sequence[str]) -> Iterator[tuple[str, list[Shown]]]:
        """Each name and its records; names without any are left out."""
        for chunk in _chunks(sorted(names)):
            rows = self._db.execute(
                f"SELECT name, {_SHOWN} WHERE subdir=? AND name IN ({_marks(chunk)}) ORDER BY name, filename", (subdir, *chunk)
            )
            for name, group in itertools.groupby(rows, key=itemgetter(0)):
                yield name, [Shown._make(row[1:]) for row in group]

    def of_section(self, subdir: str, section: str) -> Iterator[Shown]:
        exports = self._exports(subdir)
        rows = self._of_section("filename, section, raw, sha256", subdir, section)
        return (Shown(filename, section, raw, exports.get((filename, sha256), b"{}")) for filename, section, raw, sha256 in rows)

    def lines_of_section(self, subdir: str, section: str) -> Iterator[Line]:
        if self._exports(subdir):
            return map(line_of, self.of_section(subdir, section))
        return self._of_section("""CAST('"' || filename || '":' AS BLOB), raw, x'7b7d'""", subdir, section)

    def _of_section(self, columns: str, subdir: str, section: str) -> Iterator[Any]:
        is_rare = section in RARE_SECTIONS
        where = f"section='{section}'" if is_rare else "section=?"
        return self._db.execute(
            f"SELECT {columns} FROM files WHERE subdir=? AND {where} ORDER BY filename",  # noqa: S608
            (subdir,) if is_rare else (subdir, section),
        )

    def _exports(self, subdir: str) -> dict[tuple[str, str], bytes]:
        """(filename, sha256) -> run_exports of those that have any: few; sooner than one lookup for each file, all of them are read."""
        said = "SELECT filename, sha256, run_exports FROM bytes WHERE subdir=? AND run_exports<>x'7b7d'"
        return {(filename, sha256): run_exports for filename, sha256, run_exports in self._db.execute(said, (subdir,))}

    def shown_bytes(self, subdirs: Collection[str]) -> list[tuple[str, str, str]]:
        """(subdir, filename, sha256) of shown files whose bytes still lie aside."""
        found = self._db.execute(
            # In this order: SQLite would read every file else.
            "SELECT subdir, filename, sha256 FROM bytes CROSS JOIN files USING (subdir, filename, sha256) WHERE aside=1"
        )
        return sorted(row for row in found if row[0] in subdirs)

    def count(self, subdir: str) -> int:
        return int(self._db.execute("SELECT count(*) FROM files WHERE subdir=?", (subdir,)).fetchone()[0])


def _known(row: Any) -> Known:
    _, name, spelling, digest, sha256, md5, size, gone = row
    return Known(name, spelling, digest, sha256, md5, size, bool(gone))


def _held(row: Any) -> Held:
    subdir, filename, sha256, md5, size, run_exports, aside = row
    return Held(subdir, filename, sha256, md5, size, run_exports, bool(aside))


def _marks(values: Collection[str]) -> str:
    return ",".join("?" * len(values))


def _chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]
