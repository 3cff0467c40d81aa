"""Whatever the bytes are, the reader gives a package or a refusal, never another error."""

from __future__ import annotations

import bz2
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from condahub.packages.errors import BadPackage
from condahub.packages.limits import Limits
from condahub.packages.metadata import check_entry_points, check_listings, read_about, read_index, read_run_exports
from condahub.packages.reader import read_package
from condahub.packages.record import canonical_json
from tests.makers import dump, make_package, make_tar, make_zip, zstd
from tests.packages import hostile

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
EXTENSIONS = [".conda", ".tar.bz2"]

# Where to change it, and what to put there: one byte, a few, or nothing.
CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=4)


@cache
def whole(extension: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = make_package(
            Path(folder),
            files={"bin/x": b"#!/bin/sh\n", "n" * 120: b"y"},
            links={"lib/l": "../bin/x"},
            run_exports=["demo"],
            extension=extension,
        )
        return path.read_bytes()


def changed(data: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    for where, drop, put in changes:
        at = int(where * len(data))
        data = data[:at] + put + data[at + drop :]
    return data


def read_or_refuse(filename: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / filename
        path.write_bytes(data)
        try:
            said = canonical_json(read_package(path, filename=filename, limits=Limits(max_seconds=30)).index).decode()
        except BadPackage as refusal:
            said = refusal.detail
    assert said


@pytest.mark.parametrize("extension", EXTENSIONS)
@given(changes=CHANGES)
@FUZZ
def test_a_changed_package(extension: str, changes: list[tuple[float, int, bytes]]) -> None:
    read_or_refuse("demo-1.0-0" + extension, changed(whole(extension), changes))


@given(changes=CHANGES)
@FUZZ
def test_a_changed_tar(changes: list[tuple[float, int, bytes]]) -> None:
    """Below the checksums, where tarfile meets the bytes."""
    tar = changed(bz2.decompress(whole(".tar.bz2")).rstrip(b"\0"), changes) + bytes(1024)
    read_or_refuse(hostile.TAR_BZ2, bz2.compress(tar, 1))


@given(data=st.binary(max_size=3000))
@FUZZ
def test_a_tar_of_any_bytes_in_a_sound_conda(data: bytes) -> None:
    read_or_refuse(hostile.CONDA, make_zip(hostile.parts(pkg=zstd(data))))


@given(changes=CHANGES)
@FUZZ
def test_a_changed_zstandard_frame_in_a_sound_zip(changes: list[tuple[float, int, bytes]]) -> None:
    frame = zstd(make_tar(hostile.info()))
    read_or_refuse(hostile.CONDA, make_zip(hostile.parts(info=changed(frame, changes))))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
FIELDS = [*hostile.index(), "constrains", "extra_depends", "flags", "track_features", "paths", "noarch", "weak"]


@given(table=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4) | JSON)
@FUZZ
def test_documents_of_any_shape(table: object) -> None:
    for base in ({}, hostile.index()):
        raw = dump({**base, **table} if isinstance(table, dict) else table)
        for parse in (read_index, read_about, read_run_exports, check_entry_points):
            try:
                canonical = parse(raw)
            except BadPackage:
                continue
            if isinstance(canonical, dict):
                canonical_json(canonical)
        try:
            check_listings({"info/paths.json": raw, "info/files": raw}, Limits())
        except BadPackage:
            continue
