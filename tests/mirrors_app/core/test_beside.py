"""Records that a process beside the run reads are those that the run itself would read, also when that process is gone."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from msgspec import Raw

from mirrors_app.core import beside, journal, shards_beside
from mirrors_app.core.beside import Child, Entry, read_records
from mirrors_app.core.index_files import Shown, line_of, render_shard
from mirrors_app.core.journal import Held, Journal
from mirrors_app.core.records import Refused
from mirrors_app.core.shards import Place, content_of
from mirrors_app.core.shards_beside import write_shards

PLACE = Place("linux-64", "https://example.org/c/linux-64/")


def _record(name: str, **more: object) -> dict[str, object]:
    own = {"name": name, "version": "1.0", "build": "0", "build_number": 0, "subdir": "linux-64", "size": 7}
    return {**own, "md5": "a" * 32, "sha256": "b" * 64, "depends": ["python >=3"], **more}


def _entries() -> list[Entry]:
    records = {
        "plain-1.0-0.conda": _record("plain"),
        "old-1.0-0.tar.bz2": _record("old", size=None, url="https://elsewhere.example.org/old-1.0-0.tar.bz2"),
        "attested-1.0-0.conda": _record("attested", attestations_sha256="c" * 64),
        "zażółć-1.0-0.conda": _record("plain"),
        "liar-1.0-0.conda": _record("other"),
        "with-dash-1.0-0.conda": _record("with-dash", license="zażółć", extra={"deep": [1, {"er": None}]}),
    }
    entries = [
        Entry(filename, "packages.conda" if filename.endswith(".conda") else "packages", Raw(orjson.dumps(one)))
        for filename, one in records.items()
    ]
    return [*entries, Entry("misplaced-1.0-0.tar.bz2", "packages.conda", Raw(orjson.dumps(_record("misplaced"))))]


def _shards() -> list[tuple[str, bytes]]:
    good = [
        Shown(f"plain-1.0-{build}.conda", "packages.conda", orjson.dumps(_record("plain", build=str(build))), b"{}") for build in range(3)
    ]
    return [("plain", render_shard(good)[1]), ("another", render_shard(good)[1]), ("broken", b"no zstd")]


def test_records_of_an_index_and_of_shards_are_the_same_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    entries, here, there = _entries() * 3, list[Refused](), list[Refused]()
    expected = list(read_records(PLACE, [*entries], here))
    assert (len(expected), len(here)) == (12, 9)
    monkeypatch.setattr(beside, "WORTH_A_CHILD_RECORDS", 1)
    monkeypatch.setattr(beside, "PIECE_RECORDS", 4)
    assert list(read_records(PLACE, [*entries], there)) == expected
    assert there == here
    with Child(PLACE) as child:
        assert child.shards(_shards()) == [content_of(PLACE, *one) for one in _shards()]


def test_a_child_that_is_gone_is_done_without() -> None:
    with Child(PLACE) as child:
        child._process.kill()
        child._process.wait()
        assert child.shards(_shards()) == [content_of(PLACE, *one) for one in _shards()]
        assert len(child.records(_entries()).records) == 4


def test_shards_are_the_same_whoever_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(name: str) -> list[Shown]:
        return [
            Shown(f"{name}-1.0-{build}.conda", "packages.conda", orjson.dumps(_record(name, build=str(build))), b'{"weak":["x"]}')
            for build in range(3)
        ]

    names = [(name, shown(name)) for name in ("a", "b", "c", "d", "e")]
    found = {}
    for folder in ("few", "many"):
        (tmp_path / folder).mkdir()
        found[folder] = dict(write_shards(tmp_path / folder, iter(names), count=len(names)))
        monkeypatch.setattr(shards_beside, "WORTH_A_CHILD_NAMES", 1)
        monkeypatch.setattr(shards_beside, "BATCH_NAMES", 2)
        monkeypatch.setattr(shards_beside, "OWN_NAMES", 1)
        monkeypatch.setattr(shards_beside, "AHEAD_BATCHES", 1)
    assert found["few"] == found["many"] == {name: render_shard(records)[0] for name, records in names}
    written = {folder: {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()} for folder in found}
    assert written["few"] == written["many"]
    assert len(written["few"]) == len(names)


def test_bytes_are_found_beside_many_records_as_beside_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = sorted(read_records(PLACE, _entries(), []), key=lambda one: one.key)
    held = [
        Held(*one.key, str(number) * 64, "", 1, b"{}", bool(number)) for place, one in enumerate(records) for number in range(place % 3)
    ]
    book = Journal(tmp_path / "journal.sqlite")
    book.hold([*held, Held("linux-32", "first-1.0-0.conda", "f" * 64, "", 1, b"{}", False)])
    book.hold(
        [Held("linux-64", "b-1.0-0.conda", "f" * 64, "", 1, b"{}", False), Held("win-64", "z-1-0.conda", "f" * 64, "", 1, b"{}", False)]
    )
    few = [list(one) for one in book.held_beside(records)]
    monkeypatch.setattr(journal, "FEW_KEYS", 1)
    assert [list(one) for one in book.held_beside(records)] == few
    assert [len(one) for one in few] == [place % 3 for place in range(len(records))]
    book.close()


def test_lines_of_a_section_are_its_records_with_and_without_run_exports(tmp_path: Path) -> None:
    records = sorted(read_records(PLACE, _entries(), []), key=lambda one: one.key)
    book = Journal(tmp_path / "journal.sqlite")
    held = [Held(*one.key, one.sha256, "", 1, b"{}", False) for one in records]
    book.put((one, one.md5, one.raw, its) for one, its in zip(records, held, strict=True))
    for run_exports in (b"{}", b'{"weak":["x"]}'):
        book.hold([*held[1:], held[0]._replace(run_exports=run_exports)])
        for section in ("packages", "packages.conda", "v3"):
            assert list(book.lines_of_section("linux-64", section)) == [line_of(one) for one in book.of_section("linux-64", section)]
        shown = {
            one.filename: one.run_exports for section in ("packages", "packages.conda") for one in book.of_section("linux-64", section)
        }
        assert shown == {one.filename: b"{}" for one in records} | {records[0].filename: run_exports}
    book.close()
