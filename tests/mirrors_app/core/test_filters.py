"""What enters and why the rest does not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from mirrors_app.core.errors import BadConfiguration
from mirrors_app.core.filters import Candidate, Filters
from mirrors_app.core.globs import read_rules
from mirrors_app.core.records import read_facts


def one(name: str, version: str = "1.0", *, subdir: str = "linux-64", build: str = "0", **facts: Any) -> Candidate:
    raw = orjson.dumps({"name": name, "version": version, "build": build, "build_number": 0, "sha256": "0" * 64, **facts})
    return Candidate(subdir, f"{name}-{version}-{build}.conda", read_facts(raw), raw)


SOME = [
    one("numpy", "1.26.4", license="BSD-3-Clause", size=8_000_000, timestamp=1_700_000_000_000, depends=["python >=3.9", "libblas"]),
    one("numpy", "2.0.0", license="BSD-3-Clause", size=9_000_000, timestamp=1_720_000_000_000, depends=["python >=3.9", "libblas"]),
    one("numpy", "2.1.0", license="BSD-3-Clause", size=9_000_000, timestamp=1_730_000_000_000, depends=["python >=3.10", "libblas"]),
    one("python", "3.9.1", license="PSF", size=30_000_000, timestamp=1_600_000_000, depends=["__glibc >=2.17"]),
    one("python", "3.12.0", license="PSF", size=31_000_000, timestamp=1_710_000_000_000),
    one("libblas", "3.9", license="BSD-3-Clause"),
    one("gpltool", license="GPL-3.0-or-later"),
    one("pure", subdir="noarch", depends=["python", "numpy >=2"]),
]


def left(filters: Filters, candidates: list[Candidate] = SOME) -> dict[str, str]:
    return {filename: reason for (_, filename), reason in filters.decide(candidates).left_out.items()}


def kept(filters: Filters, candidates: list[Candidate] = SOME) -> list[str]:
    out = filters.decide(candidates).left_out
    return sorted(f"{item.facts.name} {item.facts.version}" for item in candidates if item.key not in out)


def test_includes_alone_let_nothing_else_enter() -> None:
    assert kept(Filters(include=("numpy >=2", "gpl*"))) == ["gpltool 1.0", "numpy 2.0.0", "numpy 2.1.0"]
    assert left(Filters(include=("numpy >=2",)))["gpltool-1.0-0.conda"] == "matches no include"


def test_excludes_alone_let_all_else_enter() -> None:
    assert len(kept(Filters(exclude=("numpy <2",)))) == 7
    assert left(Filters(exclude=("numpy <2", "*[license='GPL-3.0-or-later']"))) == {
        "numpy-1.26.4-0.conda": "excluded by 'numpy <2'",
        "gpltool-1.0-0.conda": "excluded by '*[license='GPL-3.0-or-later']'",
    }


def test_both_let_in_what_an_include_and_no_exclude_matches() -> None:
    assert kept(Filters(include=("numpy",), exclude=("numpy 2.0.*",))) == ["numpy 1.26.4", "numpy 2.1.0"]
    assert kept(Filters(exclude=("numpy",), readded=("numpy 2.0.*",), names=frozenset({"numpy"}))) == ["numpy 2.0.0"]


def test_names_by_list() -> None:
    assert kept(Filters(names=frozenset({"python"}))) == ["python 3.12.0", "python 3.9.1"]
    assert kept(Filters(names=frozenset({"python"}), include=("pure",))) == ["pure 1.0", "python 3.12.0", "python 3.9.1"]
    assert "gpltool 1.0" not in kept(Filters(excluded_names=frozenset({"gpltool"})))


def test_newest_versions() -> None:
    assert kept(Filters(include=("numpy",), newest_versions=2)) == ["numpy 2.0.0", "numpy 2.1.0"]
    assert kept(Filters(include=("numpy",), exclude=("numpy >=2.1",), newest_versions=1)) == ["numpy 2.0.0"]
    assert left(Filters(newest_versions=1))["numpy-2.0.0-0.conda"] == "older than the newest 1 version"
    same = [one("a", "1.0"), one("a", "1.0.0"), one("a", "0.9"), one("a", "1.0", build="1")]
    assert kept(Filters(newest_versions=1), same) == ["a 1.0", "a 1.0", "a 1.0.0"]


def test_size_licence_and_date() -> None:
    assert kept(Filters(include=("python", "numpy"), max_bytes=8_500_000)) == ["numpy 1.26.4"]
    assert kept(Filters(licenses=("psf", "GPL*"))) == ["gpltool 1.0", "python 3.12.0", "python 3.9.1"]
    assert "gpltool 1.0" not in kept(Filters(excluded_licenses=("gpl*",)))
    after = Filters(include=("numpy", "python"), built_after=datetime(2024, 6, 1, tzinfo=UTC))
    assert kept(after) == ["numpy 2.0.0", "numpy 2.1.0"]
    assert kept(Filters(include=("python",), built_before=datetime(2021, 1, 1, tzinfo=UTC))) == ["python 3.9.1"]
    assert left(after)["pure-1.0-0.conda"] == "it does not say when it was built"


def test_what_is_needed_enters_too_across_subdirs() -> None:
    assert kept(Filters(include=("pure",), with_dependencies=True)) == [
        *("libblas 3.9", "numpy 2.0.0", "numpy 2.1.0", "pure 1.0", "python 3.12.0", "python 3.9.1"),
    ]
    assert kept(Filters(include=("numpy 1.*",), newest_versions=1, with_dependencies=True)) == [
        *("libblas 3.9", "numpy 1.26.4", "python 3.12.0", "python 3.9.1"),
    ]


def test_the_closure_obeys_excludes_and_says_what_they_break() -> None:
    decision = Filters(include=("numpy 2.*",), exclude=("libblas", "python 3.9.*"), with_dependencies=True).decide(SOME)
    assert kept(Filters(include=("numpy 2.*",), exclude=("libblas", "python 3.9.*"), with_dependencies=True)) == [
        *("numpy 2.0.0", "numpy 2.1.0", "python 3.12.0"),
    ]
    assert [(item.filename, item.depends, item.reason) for item in decision.broken] == [
        ("numpy-2.0.0-0.conda", "libblas", "excluded by 'libblas'"),
        ("numpy-2.1.0-0.conda", "libblas", "excluded by 'libblas'"),
    ]


def test_a_spec_that_is_none_is_told() -> None:
    with pytest.raises(BadConfiguration):
        Filters(include=("numpy >=>2",))


def test_a_filter_has_a_fingerprint() -> None:
    assert Filters(include=("a",)).fingerprint() != Filters(exclude=("a",)).fingerprint()
    names = frozenset({"a", "b", "c", "d"})
    assert Filters(names=names).fingerprint() == Filters(names=frozenset(sorted(names, reverse=True))).fingerprint()


def test_conda_mirrors_rules() -> None:
    black = read_rules([{"license": "*gpl*"}, {"name": "numpy", "version": "<2"}, {"name": "python"}], "blacklist")
    white = read_rules([{"name": "python", "version": ">=3.12"}], "whitelist")
    rules = Filters(blacklist=black, whitelist=white)
    assert sorted(left(rules)) == ["gpltool-1.0-0.conda", "numpy-1.26.4-0.conda", "python-3.9.1-0.conda"]
    assert set(left(rules).values()) == {"on the blacklist"}
    everything = read_rules([{"name": "*"}], "blacklist")
    wanted = read_rules([{"name": "numpy", "version": "2.1.*"}], "whitelist")
    assert kept(Filters(blacklist=everything, whitelist=wanted)) == ["numpy 2.1.0"]
    assert kept(Filters(blacklist=everything, whitelist=wanted, with_dependencies=True)) == ["libblas 3.9", "numpy 2.1.0", "python 3.12.0"]
    for wrong in ("numpy", [{"version": ">=>1"}], ["numpy"]):
        with pytest.raises(BadConfiguration):
            read_rules(wrong, "blacklist")
