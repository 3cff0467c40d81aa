"""The store keeps bytes whole, durable, once, and says clearly when it cannot."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from condahub.errors import StorageFull, Unavailable
from condahub.storage import temporary
from condahub.storage.base import BlobMissing, BlobStore
from condahub.storage.blobs import blobs, initialise, sweep_temporary
from condahub.storage.disk import MARKER
from tests.storage.conftest import use_s3

DATA = b"hello, package" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()
ABSENT = "0" * 64


def left_behind(settings: Settings) -> list[str]:
    return os.listdir(settings.CONDAHUB_TEMP_DIR)


def test_bytes_are_hashed_while_written_and_kept_under_their_digest(store: BlobStore, settings: Settings) -> None:
    with store.temporary(len(DATA)) as temp:
        temp.write(DATA[:100])
        temp.write(memoryview(DATA)[100:])
        assert temp.path.read_bytes() == DATA
        assert not store.exists(SHA256)
        store.keep(temp)
    assert (temp.sha256, temp.md5, temp.size) == (SHA256, hashlib.md5(DATA).hexdigest(), len(DATA))
    assert store.size(SHA256) == len(DATA)
    with store.open(SHA256) as file:
        file.seek(7)
        assert file.read() == DATA[7:]
    assert b"".join(store.stream(SHA256, start=3, length=500)) == DATA[3:503]
    assert left_behind(settings) == []


def test_what_is_not_kept_leaves_nothing(store: BlobStore, settings: Settings) -> None:
    with store.temporary() as temp:
        temp.write(DATA)
        assert left_behind(settings) != []
    assert not store.exists(SHA256)
    assert left_behind(settings) == []


def test_the_same_bytes_again_are_kept_once(store: BlobStore) -> None:
    assert store.put_bytes(DATA) == store.put_bytes(DATA) == SHA256
    with store.temporary() as temp:
        temp.write(DATA)
        store.keep(temp)
    assert [(entry.sha256, entry.size) for entry in store.iterate()] == [(SHA256, len(DATA))]


def test_many_small_ones_come_back_in_order_and_by_name(store: BlobStore) -> None:
    datas = [b"shard %d" % number for number in range(30)]
    names = store.put_many(datas)
    assert [store.read_bytes(name) for name in names] == datas
    assert [entry.sha256 for entry in store.iterate()] == sorted(names)
    assert all(abs(entry.mtime - time.time()) < 60 for entry in store.iterate())


@pytest.mark.parametrize("count", [3, 20])
def test_many_parked_files_are_kept_at_once(store: BlobStore, settings: Settings, count: int) -> None:
    datas = [b"%d" % number for number in range(count)] + [b"0"]
    parked = []
    for data in datas:
        with store.temporary() as temp:
            temp.write(data)
            parked.append(temp.park())
    assert not any(store.exists(one.sha256) for one in parked)
    store.keep_many(parked)
    for one, data in zip(parked, datas, strict=True):
        assert store.read_bytes(one.sha256) == data
        assert one.md5 == hashlib.md5(data).hexdigest()
        one.close()
    assert left_behind(settings) == []


def test_namespaces_do_not_mix(store: BlobStore) -> None:
    store.put_bytes(DATA)
    assert not blobs("index").exists(SHA256)
    assert list(blobs("index").iterate()) == []
    with pytest.raises(ValueError, match="namespace"):
        blobs("elsewhere")


def test_deleted_is_gone_and_deleting_again_is_quiet(store: BlobStore) -> None:
    store.put_bytes(DATA)
    assert store.delete(SHA256, kept_before=time.time() - 3600) is False
    assert store.exists(SHA256)
    assert store.delete(SHA256) is True
    assert store.delete(SHA256) is False
    assert not store.exists(SHA256)


def test_a_missing_blob_is_a_503_and_never_a_404(store: BlobStore) -> None:
    for attempt in (store.size, store.open, store.read_bytes):
        with pytest.raises(BlobMissing) as refused:
            attempt(ABSENT)
        assert refused.value.status == 503
        assert refused.value.headers["Retry-After"]


@given(name=st.one_of(st.text(max_size=70), st.sampled_from(["../" * 21 + "x", SHA256.upper(), SHA256 + "\n"])))
def test_only_a_digest_names_a_blob(name: str) -> None:
    with pytest.raises(ValueError, match="sha256"):
        blobs().local_path(name)


def test_a_kept_again_blob_counts_as_new_for_the_collector(disk: BlobStore) -> None:
    disk.put_bytes(DATA)
    path = disk.local_path(SHA256)
    assert path is not None
    os.utime(path, (1, 1))
    before = time.time() - 60
    disk.put_bytes(DATA)
    assert disk.delete(SHA256, kept_before=before) is False


def test_a_damaged_blob_is_replaced_by_the_whole_one(disk: BlobStore) -> None:
    disk.put_bytes(DATA)
    path = disk.local_path(SHA256)
    assert path is not None
    path.unlink()
    path.write_bytes(DATA[:5])
    disk.put_bytes(DATA)
    assert path.read_bytes() == DATA


def test_kept_files_are_read_only(disk: BlobStore) -> None:
    disk.put_bytes(DATA)
    path = disk.local_path(SHA256)
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o444


def test_bytes_are_on_the_disk_before_they_have_a_name(disk: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, os.rename

    def spy_fsync(fd: int) -> None:
        done.append(f"fsync {'folder' if os.path.isdir(f'/proc/self/fd/{fd}') else 'file'}")
        fsync(fd)

    def spy_rename(source: Path, target: Path) -> None:
        done.append("rename")
        rename(source, target)

    disk.put_bytes(b"makes the folders" + bytes(32))
    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "rename", spy_rename)
    disk.put_bytes(DATA)
    assert done.index("fsync file") < done.index("rename")
    assert done[-1] == "fsync folder"


def test_a_full_disk_is_a_507_while_reads_go_on(disk: BlobStore, settings: Settings) -> None:
    disk.put_bytes(DATA)
    with disk.temporary() as temp:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, temp.fileno())
        os.close(full)
        with pytest.raises(StorageFull) as refused:
            temp.write(b"more")
    assert refused.value.status == 507
    assert refused.value.headers["Retry-After"]
    assert left_behind(settings) == []
    assert disk.read_bytes(SHA256) == DATA


def test_a_promise_that_does_not_fit_is_refused_before_the_first_byte(store: BlobStore, settings: Settings) -> None:
    usage = os.statvfs(settings.CONDAHUB_TEMP_DIR)
    with pytest.raises(StorageFull):
        store.temporary(usage.f_bavail * usage.f_frsize)
    assert left_behind(settings) == []


@pytest.mark.parametrize(("number", "kind"), [(errno.EDQUOT, StorageFull), (errno.EIO, Unavailable), (errno.EROFS, Unavailable)])
def test_what_the_system_refuses_has_an_answer(number: int, kind: type[Exception]) -> None:
    with pytest.raises(kind), temporary.storage_errors("testing"):
        raise OSError(number, os.strerror(number))


def test_a_folder_that_is_not_mounted_takes_and_loses_nothing(disk: BlobStore, folder: Path) -> None:
    with disk.temporary() as temp:
        temp.write(DATA)
        folder.rename(folder.with_name("unmounted"))
        folder.mkdir()
        for attempt in (
            lambda: disk.keep(temp),
            lambda: disk.temporary(),
            lambda: disk.exists(SHA256),
            lambda: disk.put_bytes(DATA),
            lambda: disk.delete(SHA256),
            lambda: list(disk.iterate()),
        ):
            with pytest.raises(Unavailable) as refused:
                attempt()
            assert refused.value.headers["Retry-After"] == "30"
    assert list(folder.iterdir()) == []


def test_starting_again_changes_nothing(folder: Path) -> None:
    before = (folder / MARKER).stat().st_mtime_ns
    initialise()
    assert (folder / MARKER).stat().st_mtime_ns == before


def test_what_killed_processes_left_is_swept_and_what_is_written_stays(disk: BlobStore, settings: Settings) -> None:
    leftover = Path(settings.CONDAHUB_TEMP_DIR) / "1-dead.part"
    leftover.write_bytes(b"x")
    os.utime(leftover, (1, 1))
    with disk.temporary() as temp:
        temp.write(b"x")
        assert sweep_temporary(older_than_seconds=3600) == 1
        assert temp.path.exists()
    assert not leftover.exists()


def test_a_lost_s3_is_a_503(s3: BlobStore, settings: Settings) -> None:
    use_s3(settings, "http://127.0.0.1:9")
    lost = blobs()
    started = time.monotonic()
    for attempt in (
        lambda: lost.exists(SHA256),
        lambda: lost.read_bytes(SHA256),
        lambda: list(lost.iterate()),
        lambda: lost.put_bytes(DATA),
    ):
        with pytest.raises(Unavailable) as refused:
            attempt()
        assert refused.value.headers["Retry-After"]
        assert "127.0.0.1" not in str(refused.value)
    assert time.monotonic() - started < 20


def test_a_bucket_that_is_gone_is_a_503_and_not_a_missing_blob(s3: BlobStore, settings: Settings, s3_endpoint: str) -> None:
    use_s3(settings, s3_endpoint, bucket="nobody-made-this")
    with pytest.raises(Unavailable):
        blobs().exists(SHA256)
    with pytest.raises(Unavailable):
        blobs().put_bytes(DATA)


def test_a_large_blob_goes_to_s3_in_parts_and_comes_back_whole(s3: BlobStore) -> None:
    digest = hashlib.sha256()
    with s3.temporary() as temp:
        for number in range(20):
            piece = bytes([number]) * 1024**2
            digest.update(piece)
            temp.write(piece)
        s3.keep(temp)
    back = hashlib.sha256()
    for piece in s3.stream(temp.sha256):
        back.update(piece)
    assert back.hexdigest() == digest.hexdigest() == temp.sha256
    assert s3.local_path(temp.sha256) is None
