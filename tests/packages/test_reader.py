"""A right package is read in full; anything else is refused with a code, a sentence and a hint."""

from __future__ import annotations

import json
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from condahub.errors import HubError
from condahub.packages.errors import BadPackage, PackageBomb, PackageIdentity, PackageMetadata, PackageSlow
from condahub.packages.limits import MIB, Limits
from condahub.packages.reader import PackageInfo, check_identity, read_package
from tests.makers import Member, dump, make_package, make_zip, pack
from tests.packages import hostile
from tests.packages.hostile import CONDA, TAR_BZ2, Hostile, index, info

EXTENSIONS = [".conda", ".tar.bz2"]


def write(folder: Path, filename: str, data: bytes) -> Path:
    path = folder / filename
    path.write_bytes(data)
    return path


def read(folder: Path, filename: str, data: bytes, limits: Limits | None = None) -> PackageInfo:
    return read_package(write(folder, filename, data), filename=filename, limits=limits or Limits())


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_package_tells_all_about_itself(tmp_path: Path, extension: str) -> None:
    path = make_package(
        tmp_path,
        files={"bin/demo": b"#!/bin/sh\n", "share/a": b"12345"},
        links={"bin/link": "../share/a"},
        run_exports={"weak": ["demo >=1"]},
        about={"summary": "A demo"},
        depends=["python >=3.8", "conda-forge::numpy[version='>=1.2']"],
        extra_index={"wat": {"deep": [1, 2.5, None]}},
        extension=extension,
    )
    told = read_package(path, filename=path.name)
    assert (told.filename.name, told.filename.version, told.filename.build) == ("demo", "1.0", "0")
    assert told.index == json.loads(told.index_raw)
    assert told.index["wat"] == {"deep": [1, 2.5, None]}
    assert told.about == {"summary": "A demo"}
    assert told.run_exports == {"weak": ["demo >=1"]}
    assert (told.subdir, told.build_number, told.has_link_scripts) == ("noarch", 0, False)
    assert told.files == 8
    assert told.unpacked_bytes > 15


@pytest.mark.parametrize("sample", hostile.all_hostile(), ids=lambda sample: sample.what)
def test_a_hostile_package_is_refused_with_its_code(tmp_path: Path, sample: Hostile) -> None:
    with pytest.raises(BadPackage) as refusal:
        read(tmp_path, sample.filename, sample.data)
    assert refusal.value.code == sample.code, refusal.value.detail
    assert refusal.value.status == 400
    assert refusal.value.hint
    assert refusal.value.detail.isprintable()
    assert len(refusal.value.detail) < 400


def test_odd_but_legal_packages_are_taken(tmp_path: Path) -> None:
    odd = {
        "names that differ in case": [Member("A", b"1"), Member("a", b"2")],
        "setuid": [Member("bin/s", b"x", mode=0o4755)],
        "a path of 400 characters": [Member("d/" * 200 + "f", b"x")],
        "dots before each name": [Member("./lib/x", b"x")],
        "a systemd unit": [Member("lib/system-systemd\\x2dcryptsetup.slice", b"x")],
        "a name with two dots": [Member("share/a..b", b"x")],
        "a dangling link inside": [hostile.link("lib/a", "b.so")],
        "a link up and over": [hostile.link("lib/a/b", "../../share/../bin/x")],
        "a hard link": [Member("lib/a", b"1"), hostile.hard("lib/b", "lib/a")],
        "directories": [Member("lib", kind=tarfile.DIRTYPE, mode=0o755), Member("lib/x", b"1")],
    }
    for what, members in odd.items():
        for filename in (CONDA, TAR_BZ2):
            assert read(tmp_path, filename, pack(filename, info(), members)).index["name"] == "demo", what


@pytest.mark.parametrize(
    "changes",
    [
        {"timestamp": 1_700_000_000},
        {"track_features": ["a", "b"]},
        {"track_features": "a b"},
        {"noarch": True},
        {"subdir": ...},
        {"depends": ...},
        {"depends": [], "constrains": ["a 1.*", "b"]},
        {"extra_depends": {"x": ["y"]}, "flags": ["cuda"]},
        {"license": None, "features": None, "arch": None},
        {"depends": ["blas * openblas", "python_abi 3.11.* *_cp311", "__glibc >=2.17,<3.0.a0", "foo=1.2", "*[track_features=x]"]},
    ],
)
def test_fields_that_channels_in_use_have_are_taken(tmp_path: Path, changes: dict[str, object]) -> None:
    wanted = index(**changes)
    assert read(tmp_path, CONDA, hostile.with_index(dump(wanted))).index == wanted


def test_numbers_and_text_survive_as_they_were_written(tmp_path: Path) -> None:
    raw = dump(index()).replace(b'"license"', '"x": [1.0, 1e22, -0.0, 9007199254740993, "é\\u0000\U0001f600"], "license"'.encode())
    values = read(tmp_path, CONDA, hostile.with_index(raw)).index["x"]
    assert [repr(value) for value in values] == ["1.0", "1e+22", "-0.0", "9007199254740993", repr("é\0\U0001f600")]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (["demo >=1"], {"weak": ["demo >=1"]}),
        ({"strong": ["a", "b"], "weak": []}, {"strong": ["a", "b"]}),
        (
            {"weak_constrains": ["a"], "noarch": ["b"], "strong_constrains": ["c"]},
            {"weak_constrains": ["a"], "noarch": ["b"], "strong_constrains": ["c"]},
        ),
        ({"weak": "demo >=1"}, {"weak": ["demo >=1"]}),
        ([], {}),
        ({}, {}),
    ],
)
def test_both_forms_of_run_exports_become_lists_by_kind(tmp_path: Path, written: object, told: dict[str, list[str]]) -> None:
    data = pack(CONDA, info(run_exports_json=dump(written)), [])
    assert read(tmp_path, CONDA, data).run_exports == told


def test_an_about_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    assert read(tmp_path, CONDA, pack(CONDA, info(about_json=b"[NaN"), [])).about == {}


@pytest.mark.parametrize("script", ["bin/.demo-post-link.sh", "Scripts/.demo-pre-unlink.bat", "python-scripts/.demo-pre-link.sh"])
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_link_scripts_are_seen(tmp_path: Path, script: str, extension: str) -> None:
    path = make_package(tmp_path, files={script: b"#!/bin/sh\n"}, extension=extension)
    assert read_package(path, filename=path.name).has_link_scripts


def test_a_conda_without_metadata_json_is_taken_because_every_client_takes_it(tmp_path: Path) -> None:
    data = make_zip(hostile.parts(metadata=None))
    assert read(tmp_path, CONDA, data).filename.stem == "demo-1.0-0"


def test_a_package_belongs_under_its_own_name_and_subdir(tmp_path: Path) -> None:
    path = make_package(tmp_path, subdir="linux-64")
    told = read_package(path, filename=path.name)
    check_identity(told, subdir="linux-64", filename=path.name)
    for subdir, filename in (("noarch", path.name), ("linux-64", "demo-1.0-1.conda"), ("linux-64", "demo-1.0-0.tar.bz2")):
        with pytest.raises(PackageIdentity):
            check_identity(told, subdir=subdir, filename=filename)
    with pytest.raises(HubError):
        check_identity(told, subdir="../x", filename=path.name)


def test_every_limit_ends_the_reading(tmp_path: Path) -> None:
    data = pack(CONDA, info(), [Member(f"share/{number}", b"x" * 1000) for number in range(50)])
    links = pack(CONDA, info(), [hostile.link(f"lib/{number}", "x") for number in range(50)])
    read(tmp_path, CONDA, data)
    with pytest.raises(PackageBomb, match="members"):
        read(tmp_path, CONDA, data, Limits(max_members=20))
    with pytest.raises(PackageBomb, match="unpacks to more"):
        read(tmp_path, CONDA, data, Limits(max_unpacked_bytes=20_000))
    with pytest.raises(PackageBomb, match="times its size"):
        read(tmp_path, CONDA, data, Limits(ratio_floor_bytes=20_000, max_ratio=3))
    with pytest.raises(PackageBomb, match="links"):
        read(tmp_path, CONDA, links, Limits(max_link_bytes=1000))
    with pytest.raises(PackageBomb, match=r"index\.json"):
        read(tmp_path, CONDA, data, Limits(max_index_bytes=100))
    with pytest.raises(PackageSlow):
        read(tmp_path, CONDA, data, Limits(max_seconds=0))


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_memory_does_not_grow_with_the_package(tmp_path: Path, extension: str) -> None:
    peaks = []
    for size in (2 * MIB, 8 * MIB):
        path = make_package(
            tmp_path, files={f"share/{at}": b"0123456789abcdef" * (MIB // 16) for at in range(size // MIB)}, extension=extension
        )
        tracemalloc.start()
        read_package(path, filename=path.name)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + MIB


def test_a_refusal_says_what_is_wrong_with_which_field(tmp_path: Path) -> None:
    with pytest.raises(PackageMetadata) as refusal:
        read(tmp_path, CONDA, hostile.with_index(dump(index(depends=[1]))))
    assert "depends" in refusal.value.detail
    assert refusal.value.as_dict()["code"] == "package_metadata"


def test_a_file_that_is_not_there_is_not_the_packages_fault(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_package(tmp_path / CONDA, filename=CONDA)
