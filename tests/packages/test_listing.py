"""A package's files are listed by its own word, in little time, and whatever is not a sound package lists nothing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from condahub.packages.listing import Listed, list_files
from condahub.packages.maker import make_package
from tests.packages.hostile import CONDA, Hostile, all_hostile


@pytest.mark.parametrize("extension", [".conda", ".tar.bz2"])
def test_both_kinds_say_paths_and_sizes(tmp_path: Path, extension: str) -> None:
    path = make_package(tmp_path, files={"bin/b": b"xx", "a": b""}, extension=extension)
    with path.open("rb") as file:
        assert list_files(file, filename=path.name) == [Listed("a", 0), Listed("bin/b", 2)]


def test_what_is_cut_off_lists_nothing(tmp_path: Path) -> None:
    path = make_package(tmp_path, files={"a": b"x"})
    data = path.read_bytes()
    assert list_files(io.BytesIO(data[: len(data) // 2]), filename=path.name) is None
    assert list_files(io.BytesIO(b""), filename=path.name) is None


@pytest.mark.parametrize("sample", all_hostile(), ids=lambda sample: sample.what)
def test_a_hostile_package_raises_nothing(sample: Hostile) -> None:
    found = list_files(io.BytesIO(sample.data), filename=CONDA if sample.code == "bad_filename" else sample.filename)
    assert found is None or all(isinstance(one, Listed) for one in found)
