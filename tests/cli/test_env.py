"""Environments from the command line: built, compared, rolled back; and pulled, run and kept whole on a person's machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from django.utils import timezone

from channels_app.models import PackageFile
from condahub.accounts.policy import SYSTEM
from condahub.cli.remote import env_prefix
from condahub.engine.lock import HubLock, LockedChannel, PlatformLock
from condahub.engine.records import record_of
from condahub.ops.roles import HOME
from environments_app.building.outcome import keep_lock
from environments_app.models import Build, BuildPackage, BuildState, Environment
from environments_app.services.builds import move
from environments_app.services.environments import activate_build
from tests.cli.conftest import Hub
from tests.environments_app import building as _queued  # noqa: F401 - somebody would run builds

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.skipif(sys.platform != "linux", reason="environments of linux-64")]
SPEC = "name: tools\nchannels: [tools]\ndependencies: [app]\n"
HERE = env_prefix.subdir_here()


@pytest.fixture
def tools(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A channel of two versions of two packages, and a machine whose caches and data are empty."""
    monkeypatch.setenv("CONDAHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    hub("channel", "create", "tools", "--org", "acme")
    script = b"#!/bin/sh\necho $GREETING from $CONDA_PREFIX\n"
    for version in ("1.0", "2.0"):
        hub("upload", "tools", hub.package("app", version, depends=["base"], files={"share/app": version.encode(), "share/hello": script}))
    hub("upload", "tools", hub.package("base", files={"share/base": b"base"}))
    return hub


Built = Callable[..., Build]


@pytest.fixture
def built(tools: Hub, tmp_path: Path) -> Built:
    """A build of `acme/tools` as it is when it has ended well, of these packages (`name-version`)."""

    def make(*packages: str, platform: str = HERE, variables: str = "{GREETING: hello}") -> Build:
        spec = tmp_path / "environment.yml"
        spec.write_text(f"{SPEC}variables: {variables}\nplatforms: [{platform}]\n")
        number = tools.json("env", "build", "acme/tools", "--file", str(spec), "--no-wait")["number"]
        build = Build.objects.get(number=number)
        files = [PackageFile.objects.get(filename=f"{one}-0.conda") for one in packages]
        records = [
            record_of(json.loads(file.record) | {"sha256": file.sha256}, channel="tools", subdir="noarch", filename=file.filename)
            for file in files
        ]
        revision = max(file.channel.head for file in files)
        lock = HubLock.of(channels=[LockedChannel("tools", revision)], platforms={platform: PlatformLock(conda=tuple(records))})
        rows = [
            BuildPackage(build=build, platform=platform, name=one.name, version=one.version, build_string=one.build, subdir="noarch",
                         channel="tools", filename=one.filename, sha256=one.sha256, size=one.size or 0)
            for one in records
        ]  # fmt: skip
        BuildPackage.objects.bulk_create(rows)
        assert move(build, BuildState.RUNNING, started_at=timezone.now())
        assert move(build, BuildState.COMPLETED, package_count=len(rows), size=1000)
        Build.objects.filter(pk=build.pk).update(lock=keep_lock(lock))
        activate_build(actor=SYSTEM, environment=Environment.objects.get(pk=build.environment_id), build=build)
        return build

    return make


def refused(result: Result, *words: str, code: int = 1) -> None:
    assert result.exit_code == code and all(word in result.stderr for word in words), result.output


def versions(prefix: Path) -> list[str]:
    return sorted(path.name for path in (prefix / "conda-meta").glob("*.json"))


# -- on the hub -------------------------------------------------------------------------------------------------------


def test_an_environment_is_made_looked_at_compared_rolled_back_and_deleted(tools: Hub, built: Built) -> None:
    tools("env", "create", "acme/tools", "--description", "Of the team.", "--visibility", "private")
    assert "There is no environment" in tools("env", "list", "--query", "absent").stderr
    built("app-1.0", "base-1.0")
    built("app-2.0", "base-1.0")
    row = tools.json("env", "list", "acme")[0]
    assert (row["name"], row["current_build"]["number"]) == ("tools", 2)
    assert "acme/tools" in tools("env", "list").stdout
    shown = tools("env", "show", "acme/tools").stdout
    assert "Of the team." in shown and f"{tools.url}/conda-store/acme/tools" in shown and "completed" in shown
    compared = tools("env", "diff", "acme/tools").stdout
    assert "acme/tools: 1 -> 2" in compared and "app 1.0 0 -> 2.0 0" in compared
    assert "The same packages" in tools("env", "diff", "acme/tools", "1", "1").stdout
    assert "is 1." in tools("env", "rollback", "acme/tools").stdout
    assert "is 2." in tools("env", "rollback", "acme/tools", "2").stdout
    again = tools.json("env", "build", "acme/tools", "--no-wait")
    assert (
        again["number"] == 3
        and again["specification"] == tools.json("api", "GET", "organizations/acme/environments/tools/builds/2")["specification"]
    )
    assert tools.run("env", "delete", "acme/tools").exit_code == 2, "nobody is there to ask"
    tools("env", "delete", "acme/tools@1", "--yes")
    refused(tools.run("env", "delete", "acme/tools@2", "--yes"), "current")
    tools("env", "delete", "acme/tools", "--yes")
    assert tools.json("env", "list") == []


def test_a_name_that_is_none_and_a_specification_that_is_wrong_are_refused_with_a_sentence(tools: Hub, tmp_path: Path) -> None:
    for name in ("tools", "acme/tools/x", "acme/", "../x", "acme/tools@0", "acme/tools@1"):
        refused(tools.run("env", "show", name), "does not name an environment", code=2)
    bad = tmp_path / "bad.yml"
    bad.write_text("channels: [tools]\ndependencies:\n- ./local\n- ./other\n")
    refused(tools.run("env", "create", "acme/tools", "-f", str(bad)), "Line 3: './local'", "Line 4: './other'")
    assert tools.json("env", "list") == [], "nothing is made half"
    refused(tools.run("env", "build", "acme/tools", "-f", str(bad)), "Line 3")
    refused(tools.run("env", "build", "acme/tools", "-f", str(tmp_path / "absent.yml")), "can't be read", code=2)


def test_a_build_that_fails_fails_the_command_and_says_why(tools: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(seconds: float) -> None:
        more = {"tree": "nothing provides app >9", "specs": [{"line": 3, "spec": "app >9", "why": ""}]}
        build = Build.objects.get()
        move(build, BuildState.RUNNING, started_at=timezone.now())
        Build.objects.update(state=BuildState.FAILED, error_code="unsolvable", error_sentence="It can't be solved.", error_detail=more)

    monkeypatch.setattr("condahub.cli.remote.env_names.time.sleep", fail)
    refused(tools.run("env", "create", "acme/tools", "-f", "-", stdin=SPEC), "Build 1 of acme/tools failed. It can't be solved.")


# -- on a person's machine --------------------------------------------------------------------------------------------


def test_a_pull_makes_the_environment_and_a_second_one_moves_what_differs(tools: Hub, built: Built, tmp_path: Path) -> None:
    prefix = tmp_path / "here" / "env"
    built("app-1.0", "base-1.0")
    first = tools("env", "pull", "acme/tools", "-p", str(prefix))
    assert "+ app 1.0 0" in first.stdout and "+ base 1.0 0" in first.stdout and f"acme/tools@1 is at {prefix}" in first.stdout
    assert (prefix / "share" / "app").read_text() == "1.0" and versions(prefix) == ["app-1.0-0.json", "base-1.0-0.json"]
    assert "app-1.0-0" in (prefix / "conda-meta" / "history").read_text()
    again = tools.json("env", "pull", "acme/tools", "-p", str(prefix))
    assert (again["changes"], again["downloaded_bytes"]) == ([], 0) and "already" in again["said"]
    inode = (prefix / "share" / "base").stat().st_ino
    built("app-2.0", "base-1.0")
    second = tools.json("env", "pull", "acme/tools", "-p", str(prefix))
    assert second["changes"] == ["~ app 1.0 0 -> app 2.0 0"] and second["build"] == 2
    size = Path(tools.package("app", "2.0", depends=["base"])).stat().st_size
    assert 0 < second["downloaded_bytes"] < 2 * size, "of the new package alone"
    assert (prefix / "share" / "app").read_text() == "2.0" and (prefix / "share" / "base").stat().st_ino == inode
    back = tools.json("env", "pull", "acme/tools@1", "-p", str(prefix))
    assert back["downloaded_bytes"] == 0 and (prefix / "share" / "app").read_text() == "1.0"
    assert sorted(os.listdir(prefix.parent)) == [".env.condahub-lock", "env"], "nothing is left beside it"


def test_a_build_is_pulled_whose_packages_are_not_in_the_channel_any_more(tools: Hub, built: Built, tmp_path: Path) -> None:
    built("app-1.0", "base-1.0")
    tools("delete", "tools", "noarch/app-1.0-0.conda", "--yes")
    tools("env", "pull", "acme/tools", "-p", str(tmp_path / "env"))
    assert (tmp_path / "env" / "share" / "app").read_text() == "1.0"


def test_a_pull_that_fails_leaves_the_environment_as_it_was(tools: Hub, built: Built, tmp_path: Path) -> None:
    prefix = tmp_path / "env"
    built("app-1.0", "base-1.0")
    tools("env", "pull", "acme/tools", "-p", str(prefix))
    broken = built("app-2.0", "base-1.0")
    lock = Build.objects.get(pk=broken.pk).lock
    assert lock is not None
    content = bytes(lock.content).replace(PackageFile.objects.get(filename="app-2.0-0.conda").sha256.encode(), b"0" * 64)
    type(lock).objects.filter(pk=lock.pk).update(content=content)
    refused(tools.run("env", "pull", "acme/tools", "-p", str(prefix)), "can't be installed")
    assert (prefix / "share" / "app").read_text() == "1.0" and versions(prefix) == ["app-1.0-0.json", "base-1.0-0.json"]
    assert sorted(path.name for path in tmp_path.glob(".env*")) == [".env.condahub-lock"]


def test_what_a_killed_pull_left_is_taken_back_by_the_next(tools: Hub, built: Built, tmp_path: Path) -> None:
    prefix = tmp_path / "env"
    built("app-1.0", "base-1.0")
    tools("env", "pull", "acme/tools", "-p", str(prefix))
    prefix.rename(tmp_path / ".env.condahub-old")
    (tmp_path / ".env.condahub-new" / "half").mkdir(parents=True)
    assert "already" in tools("env", "pull", "acme/tools", "-p", str(prefix)).stdout
    assert versions(prefix) and not list(tmp_path.glob(".env.condahub-*w")) and not (tmp_path / ".env.condahub-old").exists()


def test_a_folder_that_it_did_not_make_is_left_alone(tools: Hub, built: Built, tmp_path: Path) -> None:
    built("app-1.0", "base-1.0")
    mine, other, link = tmp_path / "mine", tmp_path / "other", tmp_path / "link"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    (other / "conda-meta").mkdir(parents=True)
    (other / "conda-meta" / "history").write_text("")
    link.symlink_to(other)
    for force in ((), ("--force",)):
        refused(tools.run("env", "pull", "acme/tools", "-p", str(mine), *force), "is not an environment")
        refused(tools.run("env", "pull", "acme/tools", "-p", str(link), *force), "is not an environment")
    assert (mine / "thesis.txt").read_text() == "years of work"
    refused(tools.run("env", "pull", "acme/tools", "-p", str(other)), "condahub did not make", "--force")
    tools("env", "pull", "acme/tools", "-p", str(other), "--force")
    assert versions(other) == ["app-1.0-0.json", "base-1.0-0.json"]
    (mine / "thesis.txt").unlink()
    tools("env", "pull", "acme/tools", "-p", str(mine))


def test_a_build_of_other_platforms_and_one_without_a_lock_are_refused_with_a_sentence(tools: Hub, built: Built, tmp_path: Path) -> None:
    tools("env", "create", "acme/tools")
    refused(tools.run("env", "pull", "acme/tools"), "no current build")
    tools("env", "build", "acme/tools", "-f", "-", "--no-wait", stdin=SPEC)
    refused(tools.run("env", "pull", "acme/tools@1"), "no lock")
    built("app-1.0", "base-1.0", platform="osx-arm64")
    refused(tools.run("env", "pull", "acme/tools"), f"not built for {HERE}, but for osx-arm64", "platforms")


def test_whoever_may_not_read_a_channel_pulls_nothing_made_of_it(
    tools: Hub, built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built("app-1.0", "base-1.0")
    monkeypatch.setenv("CONDAHUB_TOKEN", tools.secrets["guest"])
    assert tools.run("env", "pull", "acme/tools", "-p", str(tmp_path / "env")).exit_code == 1
    assert not (tmp_path / "env").exists()


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, since `run` becomes the command that it runs."""
    argv = [sys.executable, "-m", "condahub.cli", "env", "run", *arguments]
    return subprocess.run(argv, cwd=HOME, capture_output=True, text=True, check=False, timeout=60)


def test_a_command_runs_in_an_environment_that_is_pulled_when_it_is_not_here(tools: Hub, built: Built) -> None:
    built("app-1.0", "base-1.0")
    shown: Any = command("acme/tools", "--", "sh", "-c", 'echo "$GREETING from $CONDA_PREFIX"; cat "$CONDA_PREFIX/share/app"; exit 7')
    prefix = env_prefix.default_prefix(tools.url, "acme", "tools", None)
    assert (shown.returncode, shown.stdout) == (7, f"hello from {prefix}\n1.0"), shown.stderr
    built("app-2.0", "base-1.0")
    # As r-base brings one, in bash's language.
    scripts = prefix / "etc" / "conda" / "activate.d"
    scripts.mkdir(parents=True)
    (scripts / "activate-r-base.sh").write_text('[[ $# == 0 ]] && export R_HOME="$CONDA_PREFIX/lib/R"\n')
    again = command("acme/tools", "sh", "-c", 'cat "$1/share/app"; echo " $R_HOME $GREETING"', "sh", str(prefix))
    assert again.stdout == f"1.0 {prefix}/lib/R hello\n", "it is here: nobody is asked; what activating sets is set"
    assert command("acme/tools", "no-such-command").returncode == 127
    assert command("--update", "acme/tools", "cat", f"{prefix}/share/app").stdout == "2.0"
    absent = command("acme/tools", "no-such-command")
    assert absent.returncode == 127 and "no command 'no-such-command'" in absent.stderr
