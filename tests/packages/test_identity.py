"""Who a package says that it is, read without the rest of it, is what a whole reading says; whatever is odd is left to that."""

from __future__ import annotations

import io
from pathlib import Path

import orjson
import pytest

from condahub.errors import HubError
from condahub.packages.identity import Identity, read_identity
from condahub.packages.limits import MIB, Limits
from condahub.packages.reader import read_package
from tests.makers import make_package
from tests.packages import hostile
from tests.packages.hostile import Hostile

# What is wrong with these is in what they install or how they describe themselves, not in who they are or how much they unpack to.
OF_THE_CONTENT = {
    "package_member",
    "package_traversal",
    "package_metadata",
    "package_ambiguous",
    "package_not_conda",
    "package_damaged",
    "package_truncated",
}

# They claim much and hold little: nothing of theirs is unpacked to find out who they are.
BY_HEADERS = {"tar: long name of 1 GiB", "tar: 5000 headers for one member"}


def test_it_is_what_a_whole_reading_says(tmp_path: Path) -> None:
    path = make_package(tmp_path, "demo", depends=["base >=1"], run_exports={"weak": ["demo >=1"]}, files={"share/x": b"x" * 100_000})
    with path.open("rb") as file:
        found = read_identity(file, filename=path.name)
    assert found == Identity.of(read_package(path, filename=path.name))
    assert found is not None and orjson.loads(found.run_exports) == {"weak": ["demo >=1"]}


@pytest.mark.parametrize("sample", hostile.all_hostile(), ids=lambda sample: sample.what)
def test_of_a_hostile_package_it_says_the_truth_or_nothing(sample: Hostile) -> None:
    try:
        found = read_identity(io.BytesIO(sample.data), filename=sample.filename)
    except HubError as error:
        assert error.code == sample.code
        return
    if found is not None:
        assert sample.code in OF_THE_CONTENT or sample.what in BY_HEADERS
        assert f"{found.name}-{found.version}-{found.build}.conda" == sample.filename


def test_what_could_unpack_to_too_much_is_left_to_the_whole_reading(tmp_path: Path) -> None:
    path = make_package(tmp_path, "zeros", files={"share/zeros": b"\0" * (3 * MIB)})
    with path.open("rb") as file:
        assert read_identity(file, filename=path.name) is not None
        assert read_identity(file, filename=path.name, limits=Limits(ratio_floor_bytes=2 * MIB, max_ratio=2)) is None
        assert read_identity(file, filename=path.name, limits=Limits(max_unpacked_bytes=2 * MIB)) is None


def test_a_part_cut_short_a_bit_flipped_or_another_name_is_nothing(tmp_path: Path) -> None:
    path = make_package(tmp_path, "demo")
    data = path.read_bytes()
    assert read_identity(io.BytesIO(data), filename=path.name) is not None
    assert read_identity(io.BytesIO(data[:-30]), filename=path.name) is None
    assert read_identity(io.BytesIO(data), filename="demo-2.0-0.conda") is None
    middle = data.index(b"info-") + 60
    assert read_identity(io.BytesIO(data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]), filename=path.name) is None
