"""Whatever is done to channels in whatever order, the index is what a rebuild from nothing gives, and the past stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from channels_app import doors
from channels_app.index import maps, stage2
from channels_app.models import Channel, FileState, PackageFile, Revision
from channels_app.services import copying, hotfix, states
from channels_app.services.channels import create_channel
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor
from condahub.errors import HubError
from condahub.jobs.runner import drain
from condahub.packages.maker import make_package
from tests.channels_app.conftest import push_file
from tests.channels_app.doors_of import ask
from tests.channels_app.index_states import (
    SUBDIRS,
    Snapshot,
    check_is_what_the_rows_say,
    check_variants_agree,
    forget_everything,
    rebuilt,
    snapshot,
    uncompressed,
    without_times,
)

pytestmark = pytest.mark.django_db(transaction=True)

_numbers = count()
_NAMES = ("alpha", "beta", "g-amma")
_NEEDS = {"alpha": ("beta <2",), "beta": ("g-amma<2", "absent >=1"), "g-amma": ("alpha ==1.0", "beta")}


@dataclass(frozen=True)
class Make:
    """One package that can be published; other `contents` are other bytes under the same name."""

    name: str
    version: str
    subdir: str
    extension: str
    contents: int = 0

    @property
    def filename(self) -> str:
        return f"{self.name}-{self.version}-0{self.extension}"

    def file(self, folder: Path) -> Path:
        home = folder / self.subdir / str(self.contents)
        path = home / self.filename
        if path.exists():
            return path
        return make_package(
            home,
            self.name,
            self.version,
            subdir=self.subdir,
            depends=_NEEDS[self.name],
            files={"share/contents": str(self.contents).encode()},
            run_exports={"weak": [f"{self.name} >={self.version}"]} if self.version == "2.0" else None,
            about={"summary": f"{self.name} {self.contents}"},
            extra_index={"timestamp": 1_700_000_000_000 + int(float(self.version)) * 1000},
            extension=self.extension,
        )


_makes = st.builds(
    Make,
    st.sampled_from(_NAMES),
    st.sampled_from(("1.0", "2.0")),
    st.sampled_from(("noarch", "linux-64")),
    st.sampled_from((".conda", ".tar.bz2")),
    st.sampled_from((0, 0, 0, 1)),
)
_fixes = st.sampled_from(
    ({"depends": []}, {"depends": ["beta"]}, {"license": None}, {"license": "MIT", "constrains": ["absent <1"]}, {"timestamp": 5})
)
# More publishing than anything else, so that there is something to do the rest to.
_steps = st.one_of(
    st.tuples(st.just("publish"), _makes),
    st.tuples(st.just("publish"), _makes),
    st.tuples(st.just("publish"), _makes),
    st.tuples(st.just("overwrite"), _makes),
    st.tuples(st.sampled_from(sorted(states.VERBS)), _makes),
    st.tuples(st.sampled_from(sorted(states.VERBS)), _makes),
    st.tuples(st.sampled_from(("patch", "revoke", "remove")), _makes, _fixes),
    st.tuples(st.sampled_from(("copy", "promote")), _makes),
)


@dataclass
class World:
    """Two channels, what was done to them, and every revision as it was when it was the head."""

    actor: Actor
    folder: Path
    channels: list[Channel]
    seen: dict[tuple[int, int], Snapshot] = field(default_factory=dict)

    def do(self, where: int, step: tuple[Any, ...]) -> None:
        """One step; where the state does not allow it, nothing may have changed."""
        channel = self.channels[where]
        before = self.heads()
        try:
            self._act(channel, self.channels[1 - where], *step)
        except HubError as error:
            assert error.status < 500, error
            assert self.heads() == before
        self.look()

    def _act(self, channel: Channel, other: Channel, verb: str, make: Make, fix: Any = None) -> None:
        files = [(make.subdir, make.filename)]
        if verb in ("publish", "overwrite"):
            push_file(self.actor, channel, make.file(self.folder), force=verb == "overwrite")
        elif verb in states.VERBS:
            states.change_state(actor=self.actor, channel=channel, verb=states.VERBS[verb], files=files, reason="because")
        elif verb in ("copy", "promote"):
            copying.copy(actor=self.actor, source=channel, target=other, files=files, remove_from_source=verb == "promote")
        else:
            section = "packages.conda" if make.extension == ".conda" else "packages"
            instructions = {section: {make.filename: fix}} if verb == "patch" else {verb: [make.filename]}
            hotfix.apply(actor=self.actor, channel=channel, subdir=make.subdir, instructions=instructions)

    def heads(self) -> list[int]:
        return list(Channel.objects.filter(pk__in=[one.pk for one in self.channels]).order_by("pk").values_list("head", flat=True))

    def look(self) -> None:
        """Remember each new head."""
        drain("quick")
        for channel, head in zip(self.channels, self.heads(), strict=True):
            if (channel.pk, head) not in self.seen:
                self.seen[channel.pk, head] = snapshot(channel.pk, head)


@pytest.fixture
def make_world(staff: Actor, organization: Organization, tmp_path: Path) -> Callable[[], World]:
    def make() -> World:
        number = next(_numbers)
        channels = [
            create_channel(actor=staff, organization=organization, name=f"{side}{number}", visibility="public", allow_overwrite=True)
            for side in ("left", "right")
        ]
        world = World(staff, tmp_path, channels)
        world.look()
        return world

    return make


@pytest.mark.parametrize(
    ("small_bytes", "examples"),
    [
        pytest.param(stage2.SMALL_BYTES, 6, id="made while answering"),
        pytest.param(0, 5, id="stored files"),
        pytest.param(stage2.SMALL_BYTES, 300, id="many made while answering", marks=pytest.mark.long),
        pytest.param(0, 200, id="many stored files", marks=pytest.mark.long),
    ],
)
def test_any_order_of_changes_gives_the_index_of_a_rebuild_and_keeps_the_past(
    make_world: Callable[[], World], monkeypatch: pytest.MonkeyPatch, small_bytes: int, examples: int
) -> None:
    monkeypatch.setattr(stage2, "SMALL_BYTES", small_bytes)
    monkeypatch.setattr(stage2, "CHANNELDATA_DELAY_SECONDS", 0)

    # Shrinking what takes a second a try would take minutes.
    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=examples <= 10,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    @given(
        steps=st.lists(st.tuples(st.sampled_from((0, 0, 1)), _steps), min_size=6, max_size=18), checkpoint_every=st.sampled_from((2, 5, 50))
    )
    def run(steps: list[tuple[int, tuple[Any, ...]]], checkpoint_every: int) -> None:
        with patch.object(maps, "CHECKPOINT_EVERY", checkpoint_every):
            world = make_world()
            for where, step in steps:
                world.do(where, step)
            for shown in world.seen.values():
                check_variants_agree(shown)
            for channel in world.channels:
                _check_head(world, Channel.objects.get(pk=channel.pk))
            _check_past(world, monkeypatch, small_bytes)
            _check_bytes(world)

    run()


def _check_head(world: World, channel: Channel) -> None:
    shown = world.seen[channel.pk, channel.head]
    check_is_what_the_rows_say(channel, shown)
    twin = rebuilt(world.actor, channel, f"{channel.name}-again")
    drain("quick")
    made = snapshot(twin.pk, Channel.objects.get(pk=twin.pk).head)
    assert without_times(made) == without_times(shown)
    mine, its = maps.load(channel.pk, channel.head), maps.load(twin.pk, Channel.objects.get(pk=twin.pk).head)
    assert {subdir: names for subdir, names in mine.items() if names} == {subdir: names for subdir, names in its.items() if names}
    used = sum(PackageFile.objects.filter(channel=channel).exclude(state=FileState.PURGED).values_list("size", flat=True))
    assert channel.used_bytes == used, "logical bytes of all that is kept, counted in full"


def _check_past(world: World, monkeypatch: pytest.MonkeyPatch, small_bytes: int) -> None:
    """As a process that has just started finds it; and, where files are made at another threshold, with the same content."""
    forget_everything()
    for (channel_id, number), shown in world.seen.items():
        assert snapshot(channel_id, number) == shown
    monkeypatch.setattr(stage2, "SMALL_BYTES", 0 if small_bytes else 10**9)
    forget_everything()
    for (channel_id, number), shown in list(world.seen.items())[-3:]:
        assert dict(uncompressed(snapshot(channel_id, number))) == dict(uncompressed(shown))
    monkeypatch.setattr(stage2, "SMALL_BYTES", small_bytes)
    for channel in world.channels:
        numbers = sorted(number for channel_id, number in world.seen if channel_id == channel.pk)
        assert numbers == list(Revision.objects.filter(channel=channel).order_by("number").values_list("number", flat=True))


def _check_bytes(world: World) -> None:
    """Live and yanked are to be had; deleted only where a past revision shows it; held and purged nowhere, with the reason."""
    for channel in world.channels:
        for subdir in SUBDIRS:
            rows = list(PackageFile.objects.filter(channel=channel, subdir=subdir))
            for filename in {row.filename for row in rows}:
                versions = [row for row in rows if row.filename == filename]
                _check_file(f"/channels/{channel.name}", f"{subdir}/{filename}", versions)
    for channel in world.channels:
        door = doors.door(channel.name, fresh=True)
        assert door is not None
        for (channel_id, number), shown in world.seen.items():
            if channel_id == channel.pk:
                _check_revision(channel, number, shown)


def _check_file(base: str, path: str, rows: list[PackageFile]) -> None:
    by_state: dict[str, PackageFile] = {row.state: row for row in rows}
    response = ask(f"{base}/{path}", data=True)
    if shown := by_state.get("live") or by_state.get("yanked"):
        assert (response.status, len(response.body), response.headers["ETag"]) == (200, shown.size, f'"{shown.sha256}"')
    elif "held" in by_state:
        assert response.status == 403 and b"because" in response.body
    elif "purged" in by_state:
        assert response.status == 410 and b"because" in response.body
    else:
        assert response.status == 404


def _check_revision(channel: Channel, number: int, shown: Snapshot) -> None:
    for subdir in SUBDIRS:
        repodata = orjson.loads(shown[f"{subdir}/repodata.json"])
        for filename, record in {**repodata["packages"], **repodata["packages.conda"]}.items():
            row = PackageFile.objects.get(channel=channel, subdir=subdir, filename=filename, sha256=record["sha256"])
            response = ask(f"/channels/{channel.name}@{number}/{subdir}/{filename}", method="HEAD", data=True)
            expected = {"purged": 410, "held": 403}.get(row.state, 200)
            assert response.status == expected, (filename, row.state)
            if expected == 200:
                assert response.headers["ETag"] == f'"{record["sha256"]}"' and "immutable" in response.headers["Cache-Control"]
