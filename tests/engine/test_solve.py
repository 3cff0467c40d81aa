"""Solving: what was asked for or a sentence that names it, for any platform, from the environment's own channels alone."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from condahub.engine.lock import HubLock
from condahub.engine.protocol import Platform, Solve, SolveAnswer, WouldItSolve
from condahub.engine.runner import EngineFailed, run
from tests.engine.channels import TOKEN, Server
from tests.engine.conftest import Hub

ALL = tuple(Platform(subdir=subdir) for subdir in ("linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64"))


def names(lock: HubLock, subdir: str = "linux-64") -> dict[str, str]:
    return {record.name: record.version for record in lock.platform(subdir).conda}


def test_a_lock_names_channel_revision_file_and_hash_and_no_host(server: Server, hub: Hub) -> None:
    team = server.channel("team", token=TOKEN)
    team.add("app", depends=["lib >=1"])
    path = team.add("lib", "2.0")
    lock = hub.solve([team.channel(revision=7)], "app")
    record = next(record for record in lock.platform("linux-64").conda if record.name == "lib")
    assert (record.channel, record.subdir, record.filename) == ("team", "noarch", path.name)
    assert record.sha256 == team.record(path.name)["sha256"]
    assert lock.channels[0].revision == 7
    text = lock.to_bytes().decode()
    assert "127.0.0.1" not in text and "hub." not in text and "://" not in text and TOKEN not in text
    assert all(path.startswith("/channels/team@7/") for path, _ in server.seen)


def test_the_same_question_gives_the_same_bytes(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    for name in "cab":
        team.add(name)
    one = hub.solve([team.channel()], "a", "b", "c")
    other = hub.solve([team.channel()], "c", "a", "b", organization="two")
    assert one.to_bytes() == other.to_bytes()
    assert HubLock.from_bytes(one.to_bytes()) == one
    later = hub.solve([team.channel(revision=8)], "a", "b", "c")
    assert later.sha256 != one.sha256 and later.packages_sha256 == one.packages_sha256


def test_every_platform_is_solved_for_what_it_offers(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    for subdir, needs in (
        ("linux-64", "__glibc >=2.17"),
        ("linux-aarch64", "__linux"),
        ("osx-64", "__osx >=11"),
        ("osx-arm64", "__unix"),
        ("win-64", "__win"),
    ):
        team.add("native", subdir=subdir, depends=[needs])
    team.add("new", subdir="linux-64", depends=["__glibc >=2.39"])
    team.add("gpu", subdir="linux-64", depends=["__cuda >=12"])
    lock = hub.solve([team.channel()], "native", platforms=ALL)
    assert {subdir: names(lock, subdir) for subdir in lock.platforms} == {platform.subdir: {"native": "1.0"} for platform in ALL}
    modern = Platform(subdir="linux-64", virtual_packages={"glibc": "2.39", "cuda": "12.4"})
    assert names(hub.solve([team.channel()], "new", "gpu", platforms=(modern,))) == {"gpu": "1.0", "new": "1.0"}
    with pytest.raises(EngineFailed, match="gpu") as refused:
        hub.solve([team.channel()], "gpu")
    assert refused.value.conflict is not None and "__cuda" in refused.value.conflict.text


def test_a_conflict_names_the_lines_of_the_person_who_asked(server: Server, hub: Hub) -> None:
    team = server.channel("team", token=TOKEN)
    team.add("app", depends=["lib >=2"])
    team.add("lib", "1.0")
    team.add("lib", "2.0")
    team.add("unrelated")
    with pytest.raises(EngineFailed) as refused:
        hub.solve([team.channel(revision=3)], "unrelated", "app", "lib <2")
    conflict = refused.value.conflict
    assert refused.value.code == "unsolvable" and conflict is not None
    assert {one.spec for one in conflict.specs} == {"app", "lib <2"}, conflict.text
    assert "lib >=2" in conflict.text and "app" in refused.value.detail
    assert "127.0.0.1" not in conflict.text and "hub.invalid" not in conflict.text and TOKEN not in conflict.text


def test_what_no_channel_has_is_said_apart(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    team.add("app", depends=["nowhere >=7"])
    for asked, missing in (("ghost >=1", "ghost >=1"), ("app", "nowhere >=7")):
        with pytest.raises(EngineFailed) as refused:
            hub.solve([team.channel()], asked)
        assert refused.value.conflict is not None
        assert refused.value.conflict.missing == (missing,)
        assert refused.value.conflict.specs[0].spec == asked


def test_would_it_solve_answers_both_ways(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    team.add("app")
    for specs, solves in ((("app",), True), (("app", "ghost"), False)):
        request = WouldItSolve(
            channels=(team.channel(),), platforms=(Platform(subdir="linux-64"),), specs=specs, cache_folder=str(hub.folder / "repodata")
        )
        answer = run(request)
        assert isinstance(answer, SolveAnswer)
        assert (answer.lock is not None) is solves and (answer.conflict is None) is solves


def test_previous_versions_are_preferred_and_kept_ones_never_change(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    for name in ("one", "two"):
        team.add(name, "1.0")
    before = hub.solve([team.channel(revision=1)], "one", "two")
    for name in ("one", "two"):
        team.add(name, "2.0")
    assert names(hub.solve([team.channel(revision=2)], "one", "two")) == {"one": "2.0", "two": "2.0"}
    assert names(hub.solve([team.channel(revision=2)], "one", "two", previous=before)) == {"one": "1.0", "two": "1.0"}
    assert names(hub.solve([team.channel(revision=2)], "one >=2", "two", previous=before)) == {"one": "2.0", "two": "1.0"}
    with pytest.raises(EngineFailed, match="can't"):
        hub.solve([team.channel(revision=2)], "one >=2", "two", previous=before, keep=("one",))


def test_constraints_channel_order_and_time_travel(server: Server, hub: Hub) -> None:
    first, second = server.channel("first"), server.channel("second")
    first.add("app", "1.0", extra_index={"timestamp": 1_600_000_000_000})
    second.add("app", "2.0")
    second.add("lib", "1.0")
    second.add("lib", "2.0")
    both = [first.channel(), second.channel()]
    assert names(hub.solve(both, "app")) == {"app": "1.0"}
    assert names(hub.solve(both, "app", channel_priority="disabled")) == {"app": "2.0"}
    assert names(hub.solve(both, "second::app", channel_priority="disabled")) == {"app": "2.0"}
    assert names(hub.solve(both, "lib", constraints=("lib <2",))) == {"lib": "1.0"}
    # 05:00 in a zone five hours ahead is midnight in UTC.
    ahead = datetime.timezone(datetime.timedelta(hours=5))
    team = server.channel("team")
    midnight = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    for version, hours in (("1.0", -1), ("2.0", 1)):
        made = int((midnight + datetime.timedelta(hours=hours)).timestamp() * 1000)
        team.add("clock", version, extra_index={"timestamp": made})
    text = (team.folder / "noarch" / "repodata.json").read_text().replace('"indexed_timestamp": 1700000000000, ', "")
    (team.folder / "noarch" / "repodata.json").write_text(text.replace(', "indexed_timestamp": 1700000000000', ""))
    then = datetime.datetime(2024, 1, 1, 5, tzinfo=ahead)
    assert names(hub.solve([team.channel(revision=9)], "clock", exclude_newer=then)) == {"clock": "1.0"}


@pytest.mark.parametrize(
    "spec",
    [
        "https://elsewhere.example/noarch/app-1.0-0.conda",
        "app[url='http://127.0.0.1:1/noarch/app-1.0-0.conda']",
        "/etc/app-1.0-0.conda",
        "other::app",
        "https://elsewhere.example/other::app",
        "app[channel=other]",
        "app >=1,,",
        "a*",
        "x" * 2000,
    ],
)
def test_only_packages_of_the_given_channels_can_be_asked_for(server: Server, hub: Hub, spec: str) -> None:
    team = server.channel("team")
    team.add("app")
    with pytest.raises(EngineFailed) as refused:
        hub.solve([team.channel()], spec)
    assert (refused.value.code, refused.value.status) == ("invalid_spec", 422)
    assert server.seen == []


def test_an_index_that_points_elsewhere_is_not_followed(server: Server, hub: Hub) -> None:
    evil, victim = server.channel("evil"), server.channel("victim", token=TOKEN)
    victim.add("secret")
    evil.add("app", depends=[f"secret[url='{victim.address}/noarch/secret-1.0-0.conda']"])
    index = evil.folder / "noarch" / "repodata.json"
    index.write_text(index.read_text().replace('"info": {', f'"info": {{"base_url": "{victim.address}/noarch/", '))
    with pytest.raises(EngineFailed):
        hub.solve([evil.channel()], "app")
    assert not any(path.startswith("/channels/victim") for path, _ in server.seen)


def test_the_token_is_shown_to_the_channels_alone(server: Server, hub: Hub, tmp_path: Path) -> None:
    team = server.channel("team", token=TOKEN)
    team.add("app")
    hub.solve([team.channel()], "app")
    assert {said for path, said in server.seen if path.startswith("/channels/team/")} == {f"Bearer {TOKEN}"}
    left = [path for path in hub.folder.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert left == []


def test_a_channel_that_may_not_be_read_is_named_without_its_address(server: Server, hub: Hub) -> None:
    server.channel("private", token="another").add("app")
    with pytest.raises(EngineFailed) as refused:
        hub.solve([server.served["private"].channel()], "app")
    said = f"{refused.value.detail} {refused.value.hint}"
    assert refused.value.code == "channel_unreadable" and "private" in said
    assert TOKEN not in said and server.base not in said


def test_a_solve_ends_at_its_time_limit(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    team.add("app")
    request = Solve(channels=(team.channel(),), platforms=ALL, specs=("app",), cache_folder=str(hub.folder / "r"), timeout_seconds=0.0)
    with pytest.raises(EngineFailed) as refused:
        run(request)
    assert (refused.value.code, refused.value.status) == ("timed_out", 422)
