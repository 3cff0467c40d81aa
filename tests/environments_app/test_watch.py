"""Watched files: a changed one is built, an unchanged one is not, a removed one archives; half of a file, and links, do no harm."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from pytest_django import Settings

from condahub.accounts import services
from condahub.accounts.models import User
from condahub.accounts.policy import Actor
from condahub.errors import Unprocessable
from condahub.events.models import Event
from environments_app.models import Build, BuildState, Environment, WatchedFile
from environments_app.services import builds, watching
from tests.api.conftest import World

pytestmark = pytest.mark.django_db
SPEC = "name: {name}\nchannels: [{channel}]\ndependencies: [open]\n"


@pytest.fixture
def folder(world: World, tmp_path: Path, settings: Settings) -> Path:
    """A folder that a robot of acme, a contributor, follows."""
    owner = Actor.of(world.people["owner"])
    robot = services.create_robot(actor=owner, organization=world.acme, name="watcher")
    services.grant(actor=owner, on=world.acme, role="contributor", user=robot)
    made = tmp_path / "specs"
    made.mkdir()
    settings.CONDAHUB_WATCH = [f"{made}=acme@acme+watcher"]
    return made


def write(path: Path, text: str) -> Path:
    """Written a while ago."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    past = time.time() - 60
    os.utime(path, (past, past))
    return path


def spec(name: str, channel: str = "outer", more: str = "") -> str:
    return SPEC.format(name=name, channel=channel) + more


def names(**filters: object) -> list[str]:
    return sorted(Environment.objects.filter(**filters).values_list("name", flat=True))


def test_a_changed_file_makes_a_build_and_an_unchanged_one_none(folder: Path) -> None:
    write(folder / "one.yml", spec("one"))
    write(folder / "two" / "environment.yaml", "channels: [outer]\ndependencies: [open]\n")
    write(folder / "README.md", "name: no\n")
    write(folder / ".hidden.yml", spec("hidden"))
    assert watching.scan() == {"files": 2, "builds": 2, "archived": 0, "problems": 0}
    assert names() == ["one", "two"] and set(Build.objects.values_list("author", flat=True)) == {"acme+watcher"}
    for build in Build.objects.all():
        builds.move(build, BuildState.CANCELLED)
    assert watching.scan()["builds"] == 0
    write(folder / "one.yml", spec("one", more="variables: {A: '1'}\n"))
    assert watching.scan()["builds"] == 1
    assert Build.objects.filter(environment__name="one").count() == 2


def test_a_removed_file_archives_its_environment_and_one_that_comes_back_brings_it_back(folder: Path) -> None:
    file = write(folder / "one.yml", spec("one"))
    watching.scan()
    file.unlink()
    assert watching.scan()["archived"] == 1 and names(archived_at__isnull=False) == ["one"]
    assert watching.scan()["archived"] == 0
    write(folder / "one.yml", spec("one"))
    assert watching.scan()["builds"] == 0 and names(archived_at=None) == ["one"], "what it says was built before"


def test_a_file_that_moves_or_names_another_environment_loses_nothing(folder: Path) -> None:
    file = write(folder / "one.yml", spec("one"))
    watching.scan()
    file.rename(folder / "moved.yml")
    assert watching.scan() == {"files": 1, "builds": 0, "archived": 0, "problems": 0}
    write(folder / "moved.yml", spec("other"))
    assert watching.scan() == {"files": 1, "builds": 1, "archived": 1, "problems": 0}
    assert names(archived_at=None) == ["other"] and WatchedFile.objects.count() == 1


def test_a_half_written_file_is_told_of_once_and_built_when_it_is_whole(folder: Path) -> None:
    write(folder / "one.yml", "name: one\nchannels: [outer\n")
    assert watching.scan()["problems"] == 1 and watching.scan()["problems"] == 0
    told = Event.objects.get(type="watch.problem")
    assert "one.yml" in told.sentence and str(folder) not in told.sentence
    write(folder / "one.yml", spec("one"))
    assert watching.scan()["builds"] == 1 and not WatchedFile.objects.exclude(problem="").exists()
    (folder / "one.yml").write_text("name: one\n")
    assert watching.scan()["builds"] == 0, "what is being written just now is left until it has settled"


def test_only_what_its_account_may_do_is_done_and_tried_again(world: World, folder: Path) -> None:
    write(folder / "one.yml", spec("one", channel="not-there"))
    assert watching.scan()["problems"] == 1 and names() == []
    owner = world.api("owner")
    owner.do("POST", "channels", {"organization": "acme", "name": "not-there"}, 201)
    assert watching.scan()["builds"] == 0
    WatchedFile.objects.update(tried_at=None)
    assert watching.scan()["builds"] == 1, "what was not the file's fault is tried again without its being changed"
    robot = User.objects.get(username="acme+watcher")
    services.deactivate_user(actor=Actor.of(world.people["staff"]), user=robot)
    write(folder / "two.yml", spec("two"))
    assert watching.scan() == {"files": 0, "builds": 0, "archived": 0, "problems": 1}


def test_two_files_can_not_say_one_environment(folder: Path) -> None:
    write(folder / "a.yml", spec("one"))
    write(folder / "b.yml", spec("one", more="variables: {A: '1'}\n"))
    counts = watching.scan()
    assert (counts["builds"], counts["problems"]) == (1, 1)
    assert "a.yml" in WatchedFile.objects.get(path__endswith="b.yml").problem


def test_links_are_followed_only_inside_the_folder(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside / "secret.yml", spec("secret"))
    (folder / "out.yml").symlink_to(outside / "secret.yml")
    (folder / "folder").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    # As a mounted ConfigMap has it.
    write(folder / "..data" / "real.yml", spec("inside"))
    (folder / "real.yml").symlink_to(folder / "..data" / "real.yml")
    os.mkfifo(folder / "pipe.yml")
    write(Path(os.fsdecode(os.fsencode(folder) + b"/\xff.yml")), spec("odd"))
    assert watching.scan()["files"] == 1 and names() == ["inside"]


def test_a_folder_that_is_not_mounted_removes_nothing(folder: Path, tmp_path: Path) -> None:
    write(folder / "one.yml", spec("one"))
    watching.scan()
    folder.rename(tmp_path / "away")
    assert watching.scan()["problems"] == 1
    folder.mkdir()
    assert watching.scan()["archived"] == 0 and names(archived_at=None) == ["one"], "another, empty folder in its place"
    folder.rmdir()
    (tmp_path / "away").rename(folder)
    assert watching.scan() == {"files": 1, "builds": 0, "archived": 0, "problems": 0}


@pytest.mark.parametrize("text", ["/srv", "/srv=acme", "srv=acme@me", "/srv=@me", "=acme@me"])
def test_an_entry_that_can_not_be_read_says_what_to_write(settings: Settings, text: str) -> None:
    settings.CONDAHUB_WATCH = [text]
    with pytest.raises(Unprocessable, match="CONDAHUB_WATCH"):
        watching.watches()
